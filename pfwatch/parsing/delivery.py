"""The line that every delivery agent writes once per recipient and attempt, and the few that stand beside it.

Enters: match objects. Leaves: deliveries, and the rules. This file must never know the message; what stands in the
parentheses at the end comes from a remote server and is only shown.

Postfix writes addresses in external form since 3.5: whatever could end one is inside quotes. Before, and with
`info_log_address_format = internal`, they stand as they are, and one that looks like the rest of the line is taken for
it: whoever typed it lies about his own message only.
"""

import re
from functools import lru_cache

from pfwatch.events import STATUSES, Delivery, Envelope, Housekeeping, ServiceHealth
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
_FAILURES = (
    ("auth", rb"SASL (?:\[CACHED\] )?authentication failed"),
    (
        "tls",
        rb"Cannot start TLS|TLS is required|Server certificate not|TLSA lookup error|TLSA records unusable"
        rb"|non DNSSEC destination|no TLSA records|client TLS configuration|Sender requested REQUIRETLS"
        rb"|MX name '[^' ]*' does not match STS",
    ),
    (
        "dns",
        rb"Host or domain name not found|Name service error|unable to (?:look up|find primary relay)"
        rb"|Domain [^ ]+ does not accept mail|Malformed (?:or unexpected name server reply|DNS server reply)",
    ),
    (
        "connection",
        rb"connect to |lost connection with |conversation with |timed out while |network address conversion failed"
        rb"|server unavailable or unable to receive mail",
    ),
    (
        "remote",
        rb"host [^ ]+ (?:said|refused to talk to me): |message size [0-9]+ exceeds size limit [0-9]+ of server "
        rb"|SMTPUTF8 is required, but was not offered|unexpected server message",
    ),
)


@lru_cache(maxsize=1)
def _failures() -> tuple[tuple[str, re.Pattern[bytes]], ...]:
    """Compiled when a delivery asks: who reads a log for something else does not wait for it."""
    before = rb"(?:delivery temporarily suspended: )?(?:Protocol error: )?(?:"
    return tuple((name, re.compile(before + pattern + rb")")) for name, pattern in _FAILURES)


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
    for name, pattern in _failures():
        if pattern.match(text):
            return name
    return "local"


def _delivered(envelope: Envelope, found: re.Match[bytes]) -> Delivery:
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


def _cut_off(envelope: Envelope, found: re.Match[bytes]) -> Delivery:
    """A recipient so long that Postfix cut the line before it said what became of him."""
    return Delivery(
        envelope, found["queue_id"].decode(), untrusted(found["recipient"]), None, None, None, None, 0.0, [], None,
        "other", None, None, untrusted(b""),
    )  # fmt: skip


def _passed_on(envelope: Envelope, found: re.Match[bytes]) -> Housekeeping:
    return Housekeeping(envelope, "transport", untrusted(found["text"]))


def _no_bounce(envelope: Envelope, found: re.Match[bytes]) -> ServiceHealth:
    """The bounce daemon did not answer; the message stays in the queue."""
    return ServiceHealth(envelope, "ipc_error", found["subject"].decode(), untrusted(found["text"]))


_HEAD = "Nov 22 09:53:31 mx1 postfix/"
_ANY_ADDRESS = rf"(?:{ADDRESS}|.{{0,2000}}?)"
_SECONDS = r"[0-9]{1,9}+(?:\.[0-9]{1,9}+)?"

RULES = (
    Rule(
        name="delivery",
        since="2.10",
        example=f"{_HEAD}smtp[238]: 20C0C58: to=<bob@example.net>, "
        "relay=mx.example.net[198.51.100.4]:25, delay=0.08, delays=0.01/0.02/0.05/0, dsn=2.0.0, status=sent "
        "(250 2.0.0 Ok: queued as ABC)",
        pattern=rf"{QUEUE_ID}: to=<(?P<recipient>{_ANY_ADDRESS})>,(?: orig_to=<(?P<orig_recipient>{_ANY_ADDRESS})>,)?"
        r" relay=(?P<relay_name>[^ ,\[]++)(?:\[(?P<relay_ip>[^\] ,]*+)\])?(?::(?P<relay_port>[0-9]{1,5}))?,"
        rf"(?: conn_use=[0-9]++,)? delay=(?P<delay>{_SECONDS}), delays=(?P<delays>{_SECONDS}(?:/{_SECONDS}){{3}}),"
        r"(?: tls=(?P<tls>[^ ,]++),)? dsn=(?P<enhanced_code>[0-9]\.[0-9]++\.[0-9]++),"
        r" status=(?P<status>[A-Za-z-]++) \((?P<text>.*?)\)?",
        words=("to",),
        build=_delivered,
        kind=Delivery,
        tally=("status", "enhanced_code", "relay_name"),
        spread=("before", "queued", "connecting", "sending"),
        plain=(
            Plain(
                rf"{PLAIN_ID}: to={PLAIN_ADDRESS},(?: orig_to={PLAIN_ADDRESS},)?"
                r" relay=(?P<relay_name>[^ ,\[]++)(?:\[[^\] ,]*+\])?(?::[0-9]{1,5}+)?,(?: conn_use=[0-9]++,)?"
                rf" delay={_SECONDS}, delays=(?P<before>{_SECONDS})/(?P<queued>{_SECONDS})/"
                rf"(?P<connecting>{_SECONDS})/(?P<sending>{_SECONDS}),"
                r"(?: tls=[^ ,]++,)?"
                r" dsn=(?P<enhanced_code>[0-9]\.[0-9]++\.[0-9]++), status=(?P<status>[A-Za-z-]++) \(.*+",
                varied=True,
            ),
        ),
        source="global/log_adhoc.c: log_adhoc",
    ),
    Rule(
        name="delivery-cut-off",
        since="2.10",
        example=f"{_HEAD}smtp[238]: 20C0C58: to=<{'b' * 1991}",
        pattern=rf"{QUEUE_ID}: to=<(?P<recipient>.{{1500,}})",
        words=("to",),
        build=_cut_off,
        fallback=True,
        source="global/log_adhoc.c: log_adhoc",
    ),
    Rule(
        name="delivery-passed-on",
        since="3.6",
        example=f"{_HEAD}local[238]: 20C0C58: passing <bob@example.org> to transport=lmtp",
        pattern=rf"{QUEUE_ID}: (?P<text>passing <{_ANY_ADDRESS}> to transport=[^ ]++)",
        words=("passing",),
        build=_passed_on,
        source="global/deliver_pass.c: deliver_pass",
    ),
    Rule(
        name="delivery-bounce-failed",
        since="2.10",
        example=f"{_HEAD}smtp[238]: 20C0C58: status=deferred (bounce failed)",
        pattern=rf"{QUEUE_ID}: (?P<text>status=deferred \("
        r"(?P<subject>bounce|verp|trace|delay warning|whatever) failed\))",
        words=("status",),
        build=_no_bounce,
        source="global/bounce.c: bounce_flush; global/abounce.c: abounce_done",
    ),
    Rule(
        name="delivery-service-failed",
        since="2.10",
        example=f"{_HEAD}smtp[238]: warning: 20C0C58: defer service failure",
        pattern=rf"warning: (?P<text>{QUEUE_ID}: (?P<subject>[a-z]++) service failure)",
        words=("warning",),
        build=_no_bounce,
        source="global/defer.c: defer_append; global/bounce.c: bounce_append; global/trace.c: trace_append",
    ),
)
