"""What lines that are only tallied add to the counters.

Enters: the fields of such lines as the log has them, in bytes, and how many lines had them. Leaves: additions to
`Counters`. This file must never know how a line is read.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from functools import lru_cache

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


def tally(counters: Counters, counted: Counted, keys: Mapping[Key, int]) -> None:
    """Add the lines that the scanner only counted, by tag and what the groups that count held."""
    rule, kind = counted
    if rule.name in AT_ONCE:
        AT_ONCE[rule.name](counters, keys)
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


def _deliveries(counters: Counters, keys: Mapping[Key, int]) -> None:
    """Add deliveries by tag, status, enhanced code, relay and delays: nearly each has delays of its own, but few are of
    a sort of their own, and a single delay is one of some hundred numbers.
    """
    sorts: defaultdict[Key, list[bytes]] = defaultdict(list)
    for key, weight in keys.items():
        delays = key[-1] or b""
        sorts[key[:-1]] += [delays] if weight == 1 else [delays] * weight
    for (tag, status_, code_, relay_), all_delays in sorts.items():
        known = postfix_tag(tag or b"")
        daemon = known.daemon if known else OTHER
        status, code, relay = status_of(status_ or b""), _text(code_), _text(relay_ or b"none")
        facts.delivered(counters, daemon, status, (), code, relay, len(all_delays))
        series = facts.delay_series(daemon, status, relay)
        columns = zip(*(delays.split(b"/") for delays in all_delays if delays), strict=True) if series else ()
        for (name, labels), column in zip(series, columns, strict=False):
            for seconds, times in Counter(column).items():
                counters.observe(name, labels, float(seconds), times)


def _queued(counters: Counters, keys: Mapping[Key, int]) -> None:
    """Add messages by tag, size and number of recipients: nearly each has a size of its own."""
    sizes: list[int] = []
    recipients: Counter[bytes] = Counter()
    for (_, size, number), weight in keys.items():
        sizes += [int(size or 0)] * weight
        recipients[number or b"0"] += weight
    facts.queued_sizes(counters, sizes)
    for number, times in recipients.items():
        facts.queued_recipients(counters, int(number), times)


AT_ONCE: dict[str, Callable[[Counters, Mapping[Key, int]], None]] = {"delivery": _deliveries, "qmgr-queued": _queued}
"""Rule name -> what all of its lines add together, where nearly each is of its own."""
