"""anvil: the highest rates that it saw.

Enters: match objects. Leaves: events and rules. This file must never know a session.
"""

import re
from typing import Final

from pfwatch.events import Client, Envelope, PeakMetric, RatePeak
from pfwatch.parsing.fragments import address, number, word
from pfwatch.parsing.rule import Plain, Rule

_METRICS: Final[dict[bytes, PeakMetric]] = {
    b"connection rate": "connection_rate",
    b"connection count": "connection_count",
    b"message rate": "message_rate",
    b"recipient rate": "recipient_rate",
    b"newtls rate": "tls_rate",
    b"auth rate": "auth_rate",
    b"tlstrace rate": "trace_rate",
}
_ENDPOINT = re.compile(rb"[0-9]++\.[0-9.]++|\[[^\]]*+\]")
"""The address that a service of master.cf listens on; its port follows."""
_PORT = re.compile(rb"(?!64:ff9b:)[0-9]{1,3}:")
"""The port of a service, where an IPv6 address would begin: none in use begins with so small a number but NAT64's."""


def _service_and_client(ident: bytes) -> tuple[bytes, Client]:
    """`service:address`; both may have colons, so the address is the longest one at the end behind a colon.

    `[::1]:25:2001:db8::1` and `localhost:25:2001:db8::1` have two: the longer begins with the service's port.
    """
    place = ident.find(b":")
    chosen: tuple[bytes, Client] | None = None
    while place >= 0:
        service, rest = ident[:place], ident[place + 1 :]
        ip = address(rest)
        if ip is not None:
            chosen = (service, Client(ip, None, None))
            if not _ENDPOINT.fullmatch(service) and not _PORT.match(rest):
                break
        elif chosen is not None:
            break
        place = ident.find(b":", place + 1)
    return chosen or (ident.rpartition(b":")[0], Client(None, None, None))


def _peak(envelope: Envelope, found: re.Match[bytes]) -> RatePeak:
    service, client = _service_and_client(found["ident"])
    metric, value, period = _METRICS[found["metric"]], int(found["value"]), number(found["period"])
    return RatePeak(envelope, client, metric, value, period, word(service), word(found["peak_at"]))


def _cache_size(envelope: Envelope, found: re.Match[bytes]) -> RatePeak:
    return RatePeak(envelope, None, "cache_size", int(found["value"]), None, None, word(found["peak_at"]))


_HEAD = "Nov 22 10:28:39 mx1 postfix/anvil[742]: "
_AT = r"(?: at (?P<peak_at>[A-Z][a-z]{2} [ 0-3][0-9] [0-9:]{8}))?"
_PEAK = (
    r"statistics: max (?P<metric>connection count|(?:connection|message|recipient|newtls|auth|tlstrace) rate) "
    rf"(?P<value>[0-9]{{1,18}}+)(?:/(?P<period>[0-9]{{1,9}}+)s)? for \((?P<ident>[^ ()]{{1,300}}+)\){_AT}"
)
_CACHE_SIZE = rf"statistics: max cache size (?P<value>[0-9]{{1,18}}+){_AT}"

ANVIL: Final = (
    Rule(
        name="anvil-peak",
        since="2.10",  # auth since 3.1, tlstrace since 3.12
        example=f"{_HEAD}statistics: max auth rate 12/60s for (198.51.100.16:smtp:192.0.2.9) at Nov 22 10:27:44",
        pattern=_PEAK,
        words=("statistics",),
        build=_peak,
        plain=(Plain(_PEAK, rare=True),),
        tally=(),
        kind=RatePeak,
        source="anvil/anvil.c: anvil_status_dump",
    ),
    Rule(
        name="anvil-cache-size",
        since="2.10",
        example=f"{_HEAD}statistics: max cache size 6 at Nov 22 10:27:44",
        pattern=_CACHE_SIZE,
        words=("statistics",),
        build=_cache_size,
        plain=(Plain(_CACHE_SIZE, rare=True),),
        tally=(),
        kind=RatePeak,
        source="anvil/anvil.c: anvil_status_dump",
    ),
)
