"""The line that every delivery agent writes once per recipient and attempt.

Enters: match objects. Leaves: deliveries, and the rule. This file must never know the message; what stands in the
parentheses at the end comes from a remote server and is only shown.
"""

import re

from pfwatch.events import STATUSES, Delivery, Envelope, Event
from pfwatch.parsing.fragments import (
    ADDRESS,
    PLAIN_ADDRESS,
    PLAIN_ID,
    QUEUE_ID,
    address,
    number,
    untrusted,
    untrusted_or_none,
    word,
)
from pfwatch.parsing.rule import Plain, Rule

_NOT_DELIVERED = frozenset(("deferred", "bounced", "softbounce", "undeliverable"))
_SUSPENDED = rb"(?:delivery temporarily suspended: )?"
_FAILURES: tuple[tuple[str, re.Pattern[bytes]], ...] = tuple(
    (name, re.compile(pattern))
    for name, pattern in (
        ("auth", rb"SASL (?:\[CACHED\] )?authentication failed"),
        (
            "tls",
            _SUSPENDED + rb"(?:Cannot start TLS|TLS is required|Server certificate not|TLSA lookup error"
            rb"|non DNSSEC destination"
            rb"|no TLSA records|client TLS configuration|Sender requested REQUIRETLS)",
        ),
        (
            "dns",
            _SUSPENDED + rb"(?:Host or domain name not found|Name service error|unable to look up)",
        ),
        (
            "connection",
            _SUSPENDED + rb"(?:connect to |lost connection with |conversation with |timed out while )",
        ),
        ("remote", _SUSPENDED + rb"host .{1,600}? (?:said|refused to talk to me): "),
    )
)


def status_of(text: bytes) -> str:
    """The `status` of Postfix's word: `SOFTBOUNCE`, `undeliverable-but-not-cached` and unknown ones by their sense."""
    status = text.decode().lower()
    if status in STATUSES:
        return status
    return "undeliverable" if status.startswith("undeliverable") else "other"


def _failure(status: str, text: bytes) -> str | None:
    """Why nothing was delivered; `local` where no remote server had a part in it."""
    if status not in _NOT_DELIVERED:
        return None
    for name, pattern in _FAILURES:
        if pattern.match(text):
            return name
    return "local"


def _delivered(envelope: Envelope, found: re.Match[bytes]) -> Event:
    status = status_of(found["status"])
    relay_ip = found["relay_ip"]
    return Delivery(
        envelope,
        found["queue_id"].decode(),
        untrusted(found["recipient"]),
        untrusted_or_none(found["orig_recipient"]),
        None if found["relay_name"] == b"none" else word(found["relay_name"]),
        None if relay_ip is None else address(relay_ip),
        number(found["relay_port"]),
        float(found["delay"]),
        [float(seconds) for seconds in found["delays"].split(b"/")],
        word(found["enhanced_code"]),
        status,
        _failure(status, found["text"]),  # type: ignore[arg-type] # the table holds only such words
        word(found["tls"]),
        untrusted(found["text"]),
    )


RULES = (
    Rule(
        name="delivery",
        since="2.10",
        example="Nov 22 09:53:31 mx1 postfix/smtp[238]: 20C0C58: to=<bob@example.net>, "
        "relay=mx.example.net[198.51.100.4]:25, delay=0.08, delays=0.01/0.02/0.05/0, dsn=2.0.0, status=sent "
        "(250 2.0.0 Ok: queued as ABC)",
        pattern=rf"{QUEUE_ID}: to=<(?P<recipient>{ADDRESS})>,(?: orig_to=<(?P<orig_recipient>{ADDRESS})>,)?"
        r" relay=(?P<relay_name>[^ ,\[]++)(?:\[(?P<relay_ip>[^\]]*+)\])?(?::(?P<relay_port>[0-9]++))?,"
        r"(?: conn_use=[0-9]++,)? delay=(?P<delay>[0-9.]++), delays=(?P<delays>[0-9.]++(?:/[0-9.]++){3}),"
        r"(?: tls=(?P<tls>[^ ,]++),)? dsn=(?P<enhanced_code>[0-9]\.[0-9]++\.[0-9]++),"
        r" status=(?P<status>[A-Za-z-]++) \((?P<text>.*?)\)?",
        words=("to",),
        build=_delivered,
        kind=Delivery,
        tally=("status", "delays", "enhanced_code", "relay_name"),
        plain=(
            Plain(
                rf"{PLAIN_ID}: to={PLAIN_ADDRESS},(?: orig_to={PLAIN_ADDRESS},)?"
                r" relay=(?P<relay_name>[^ ,\[]++)(?:\[[^\] ,]*+\])?(?::[0-9]++)?,(?: conn_use=[0-9]++,)?"
                r" delay=[0-9.]++, delays=(?P<delays>[0-9.]++/[0-9.]++/[0-9.]++/[0-9.]++),(?: tls=[^ ,]++,)?"
                r" dsn=(?P<enhanced_code>[0-9]\.[0-9]++\.[0-9]++), status=(?P<status>[A-Za-z-]++) \([^\n]*+"
            ),
        ),
        source="global/log_adhoc.c: log_adhoc",
    ),
)
