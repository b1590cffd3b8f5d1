"""What lines that are only tallied add to the counters.

Enters: the fields of such lines as the log has them, in bytes, and how many lines had them. Leaves: additions to
`Counters`. This file must never know how a line is read.
"""

from collections.abc import Callable, Mapping
from functools import lru_cache

from pfwatch.events import AuthFailed, Event, RelayDenied
from pfwatch.metrics import facts
from pfwatch.metrics.catalogue import OTHER
from pfwatch.metrics.counters import Counters
from pfwatch.parsing.bounce import notice_of
from pfwatch.parsing.delivery import status_of
from pfwatch.parsing.fragments import untrusted
from pfwatch.parsing.reject import category
from pfwatch.parsing.smtpd import LIMITS
from pfwatch.parsing.tally import Counted, Key, Spread, Tally
from pfwatch.records.header import postfix_tag

Fields = tuple[bytes | None, ...]

_REASONS = {
    b"lost connection": "lost_connection",
    b"timeout": "timeout",
    b"too many errors": "too_many_errors",
    b"bare <LF> received": "bare_lf",
}


@lru_cache(maxsize=4096)
def _text(field: bytes | None) -> str:
    return OTHER if field is None else field.decode("utf-8", "replace")


def _tally_abort(counters: Counters, service: str, fields: Fields, weight: int) -> None:
    reason, stage = fields
    facts.aborted(counters, service or OTHER, _REASONS[reason or b""], _text(stage), weight)


def _tally_accepted(counters: Counters, service: str, fields: Fields, weight: int) -> None:
    method = str(untrusted(fields[0])) if fields and fields[0] is not None else None
    facts.accepted(counters, service or OTHER, "smtpd", method, method is not None, weight)


def _tally_guessed(counters: Counters, service: str, fields: Fields, weight: int) -> None:
    method = str(untrusted(fields[0]))
    facts.login_failed(counters, service or OTHER, method, "credentials", weight)


def _tally_relayed(counters: Counters, service: str, fields: Fields, weight: int) -> None:
    stage, code, _, _ = fields
    facts.relay_denied(counters, service or OTHER, _text(stage), _text(code), weight)


def _tally_rejected(counters: Counters, service: str, fields: Fields, weight: int) -> None:
    stage, code, about, listed = fields
    facts.refused(counters, service or OTHER, _text(stage), _text(code), category(about or listed or b""), weight)


def _tally_limited(counters: Counters, service: str, fields: Fields, weight: int) -> None:
    counters.add("postfix_rate_limited_total", (service or OTHER, LIMITS[fields[0] or b""]), weight)


def _tally_tls(counters: Counters, _service: str, fields: Fields, weight: int) -> None:
    direction, trust, protocol, cipher, bits, all_bits = map(_text, fields)
    facts.tls_session(counters, direction, trust, protocol, cipher, bits, all_bits, weight)


TALLIES: dict[str, Callable[[Counters, str, Fields, int], None]] = {
    "smtpd-connect": lambda counters, _service, _fields, weight: facts.connected(counters, weight),
    "smtpd-disconnect": lambda counters, _service, _fields, weight: facts.disconnected(counters, weight),
    "session-aborted": _tally_abort,
    "smtpd-client": _tally_accepted,
    "smtpd-reject": _tally_rejected,
    "smtpd-rate-limited": _tally_limited,
    "pickup-message": lambda counters, service, _fields, weight: facts.accepted(
        counters, service or OTHER, "pickup", None, False, weight
    ),
    "bounce-notified": lambda counters, _service, fields, weight: facts.notified(
        counters, notice_of(fields[0] or b""), weight
    ),
    "hostname-mismatch": lambda counters, _service, _fields, weight: facts.unconfirmed(counters, weight),
    "postscreen-connect": lambda counters, _service, _fields, weight: facts.screened(counters, weight),
    "postscreen-pass": lambda counters, _service, fields, weight: facts.passed(
        counters, _text(fields[0]).lower(), weight
    ),
    "postscreen-dnsbl": lambda counters, _service, fields, weight: facts.ranked(counters, int(fields[0] or 0), weight),
    "cleanup-message-id": lambda counters, _service, _fields, weight: facts.identified(counters, weight),
    "qmgr-removed": lambda counters, _service, _fields, weight: facts.removed(counters, weight),
    "tls-established": _tally_tls,
}
"""Rule name -> what its tallied lines add: (counters, service, fields, how many lines).

Fields by rule: `session-aborted` reason and stage; `tls-established` direction
(`inbound`, `outbound`), trust, protocol, cipher, bits and algorithm bits; the others none.
"""

HITS: dict[type[Event], Callable[[Counters, str, Fields, int], None]] = {
    AuthFailed: _tally_guessed,
    RelayDenied: _tally_relayed,
}
"""Kind -> what its hits add; fields are the key of their plain form."""

_SHARED = {
    "smtpd-session-aborted": ("session-aborted", ()),
    "tls-established-inbound": ("tls-established", (b"inbound",)),
    "tls-established-outbound": ("tls-established", (b"outbound",)),
}


def count(counters: Counters, tally: Tally) -> None:
    """Add all that a tally has counted."""
    for counted, keys in tally.counts.items():
        _count(counters, counted, keys, tally.spread.get(counted, {}))


def _count(counters: Counters, counted: Counted, keys: Mapping[Key, int], spreads: Mapping[Key, Spread]) -> None:
    """Add lines by tag and what the groups that count held."""
    rule, kind = counted
    if rule.name in AT_ONCE:
        AT_ONCE[rule.name](counters, keys, spreads)
        return
    name, before = _SHARED.get(rule.name, (rule.name, ()))
    add = TALLIES.get(name) if kind is rule.kind else HITS[kind]  # type: ignore[index] # only a hit has another kind
    if add is None:
        return
    for key, weight in keys.items():
        tag, *fields = key
        known = postfix_tag(tag or b"")
        if known is not None:
            add(counters, known.service, (*before, *fields), weight)


def _deliveries(counters: Counters, keys: Mapping[Key, int], spreads: Mapping[Key, Spread]) -> None:
    """Add deliveries by tag, status, enhanced code and relay; spread over the seconds of each stage."""
    for key, weight in keys.items():
        tag, status_, code_, relay_ = key
        known = postfix_tag(tag or b"")
        daemon = known.daemon if known else OTHER
        status, code, relay = status_of(status_ or b""), _text(code_), _text(relay_ or b"none")
        facts.delivered(counters, daemon, status, (), code, relay, weight)
        for (name, labels), column in zip(
            facts.delay_series(daemon, status, relay), spreads.get(key, ()), strict=False
        ):
            for seconds, times in column.items():
                counters.observe(name, labels, float(seconds), times)


def _queued(counters: Counters, _keys: Mapping[Key, int], spreads: Mapping[Key, Spread]) -> None:
    """Add messages by tag; spread over their sizes and numbers of recipients."""
    for sizes, recipients in spreads.values():
        facts.queued_sizes(counters, [int(size) for size, times in sizes.items() for _ in range(times)])
        for number, times in recipients.items():
            facts.queued_recipients(counters, int(number), times)


AT_ONCE: dict[str, Callable[[Counters, Mapping[Key, int], Mapping[Key, Spread]], None]] = {
    "delivery": _deliveries,
    "qmgr-queued": _queued,
}
