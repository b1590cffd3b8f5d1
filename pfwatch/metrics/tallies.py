"""What lines that are only tallied add to the counters.

Enters: the fields of such lines as the log has them, in bytes, and how many lines had them. Leaves: additions to
`Counters`. This file must never know how a line is read.
"""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from pfwatch.events import AuthFailed, Event, RelayDenied
from pfwatch.metrics import facts
from pfwatch.metrics.catalogue import OTHER
from pfwatch.metrics.counters import Counters
from pfwatch.parsing.delivery import status_of
from pfwatch.parsing.fragments import untrusted
from pfwatch.parsing.reject import category
from pfwatch.parsing.smtpd import LIMITS
from pfwatch.parsing.tally import Counted, Key
from pfwatch.records.header import postfix_tag

Fields = tuple[bytes | None, ...]
_REMEMBERED = 4096

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


def _tally_queued(counters: Counters, _service: str, fields: Fields, weight: int) -> None:
    size, recipients = fields
    facts.queued(counters, int(size or 0), int(recipients or 0), weight)


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
    "cleanup-message-id": lambda counters, _service, _fields, weight: facts.identified(counters, weight),
    "qmgr-queued": _tally_queued,
    "qmgr-removed": lambda counters, _service, _fields, weight: facts.removed(counters, weight),
    "tls-established": _tally_tls,
}
"""Rule name -> what its tallied lines add: (counters, service, fields, how many lines).

Fields by rule: `session-aborted` reason and stage; `qmgr-queued` size and recipients; `tls-established` direction
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


def tally(counters: Counters, counted: Counted, keys: Mapping[Key, int]) -> None:
    """Add the lines that the scanner only counted, by tag and what the groups that count held."""
    rule, kind = counted
    if rule.name == "delivery":
        _deliveries(counters, keys)
        return
    name, before = _SHARED.get(rule.name, (rule.name, ()))
    count = TALLIES.get(name) if kind is rule.kind else HITS[kind]  # type: ignore[index] # only a hit has another kind
    if count is None:
        return
    for key, weight in keys.items():
        tag, *fields = key
        known = postfix_tag(tag or b"")
        if known is not None:
            count(counters, known.service, (*before, *fields), weight)


def _deliveries(counters: Counters, keys: Mapping[Any, int]) -> None:
    """Add deliveries by tag, status, enhanced code, relay and delays: nearly each has delays of its own, but few are of
    a sort of their own.
    """
    sorts: dict[tuple[bytes | None, ...], _Sort] = {}
    for key, weight in keys.items():
        sort = sorts.get(key[:-1])
        if sort is None:
            sort = sorts[key[:-1]] = _Sort(counters, key)
        sort.weight += weight
        if sort.rows:
            for row, (bucket, amount) in zip(sort.rows, _places(counters, key[-1]), strict=False):
                row[bucket] += weight
                row[-1] += amount * weight
    for sort in sorts.values():
        facts.delivered(counters, sort.daemon, sort.status, (), sort.code, sort.relay, sort.weight)


class _Sort:
    """Deliveries that differ only in their delays."""

    def __init__(self, counters: Counters, key: tuple[Any, ...]) -> None:
        tag, status, code, relay, _ = key
        known = postfix_tag(tag)
        self.daemon = known.daemon if known else OTHER
        self.status, self.code, self.relay = status_of(status or b""), _text(code), _text(relay or b"none")
        self.weight = 0
        self.rows = [counters.histogram(*series) for series in facts.delay_series(self.daemon, self.status, self.relay)]


_cache: dict[bytes, tuple[tuple[int, int], ...]] = {}


def _places(counters: Counters, delays: bytes) -> tuple[tuple[int, int], ...]:
    """Where the four numbers of `0.01/0.02/0.05/0` belong: (bucket, amount) each."""
    known = _cache.get(delays)
    if known is None:
        if len(_cache) >= _REMEMBERED:
            _cache.clear()
        parts = delays.split(b"/") if delays else ()
        known = _cache[delays] = tuple(counters.place(facts.ANY_DELAY, float(part)) for part in parts)
    return known
