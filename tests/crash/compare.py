"""What pfwatch has in its state beside what is true.

Enters: the truth of a generated log, the settings, and a state database at rest. Leaves: rows of a table. This file
must never know how the state came about.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from pfwatch.detection.detector import Detector
from pfwatch.detection.rules import subject_of
from pfwatch.detection.watch import Watch
from pfwatch.pipeline import Pipeline, Settings
from pfwatch.store.changes import CounterKey, Saved
from tests.bench.generate import Truth

METRIC_OF = {
    "client_connected": ("postfix_smtpd_connects_total",),
    "client_disconnected": ("postfix_smtpd_disconnects_total",),
    "session_aborted": ("postfix_session_aborts_total",),
    "auth_failed": ("postfix_sasl_failures_total",),
    "relay_denied": ("postfix_relay_denied_total",),
    "rejected": ("postfix_rejects_total",),
    "tls_failed": ("postfix_tls_errors_total",),
    "tls_established": ("postfix_smtpd_tls_connections_total", "postfix_smtp_tls_connections_total"),
    "rate_limited": ("postfix_rate_limited_total",),
    "dnsbl_listed": ("postfix_dnsbl_listings_total",),
    "dns_mismatch": ("postfix_smtpd_forward_confirmed_reverse_dns_errors_total",),
    "message_accepted": ("postfix_messages_accepted_total",),
    "message_identified": ("postfix_cleanup_messages_processed_total",),
    "message_queued": ("postfix_qmgr_messages_inserted_size_bytes_bucket",),
    "message_removed": ("postfix_qmgr_messages_removed_total",),
    "delivery": ("postfix_deliveries_total",),
    "delivery_attempted": ("postfix_delivery_attempts_failed_total",),
    "notified": ("postfix_sender_notifications_total",),
}
"""Kind -> the counters whose sum is its number."""


class Row(NamedTuple):
    """One line of the table; `difference` is the sum over all keys, so that two mistakes never cancel out."""

    what: str
    truth: int
    pfwatch: int
    difference: int


def rows(truth: Truth, saved: Saved, settings: Settings) -> list[Row]:
    """Everything that the truth knows, by kind, address and account."""
    counters = saved.counters
    made = [
        Row("lines", truth.lines, *_beside(truth.lines, _sum(counters, "pfwatch_lines_total"))),
        _fate(counters, "foreign", truth.foreign),
        _fate(counters, "parts", truth.kinds["tls_detail"]),
        _fate(counters, "unsupported", 0),
        _fate(counters, "malformed", 0),
    ]
    for kind, names in METRIC_OF.items():
        found = sum(_sum(counters, name) for name in names)
        made.append(Row(f"kind {kind}", truth.kinds[kind], *_beside(truth.kinds[kind], found)))
    rules = ("auth-bruteforce", "relay-probe", "tls-client-failures")
    detector = Detector(settings.detection, keep=True)
    detector.restore(saved.kept)
    guessed, relayed, unencrypted = (_watches(detector, rule) for rule in rules)
    made += [
        _by("rejected by category", truth.rejected_by_category, _by_label(counters, "postfix_rejects_total", 2)),
        _by("deliveries by status", truth.deliveries_by_status, _by_label(counters, "postfix_deliveries_total", 1)),
        _by("auth_failed by address", _subjects(truth.auth_failed_by_client), _counts(guessed)),
        _by("auth_failed by account", truth.auth_failed_by_account, _accounts(guessed)),
        _by("relay_denied by address", _subjects(truth.relay_denied_by_client), _counts(relayed)),
        _by("tls_failed by address", _subjects(truth.tls_failed_by_client), _counts(unencrypted)),
    ]
    return made


def notifications(text: bytes, settings: Settings, now: float, block: int = 256 * 1024) -> Counter[str]:
    """The ids of what an undisturbed run over the whole log tells; `now` says of which year it is."""
    pipeline, told, begin = Pipeline(settings), Counter[str](), 0
    while begin < len(text):
        end = text.rfind(b"\n", begin, begin + block) + 1
        outcome = pipeline.feed(text[begin:end], "log", now)
        told.update(notification.id for notification in outcome.notifications)
        begin = end
    return told


def by(what: str, truth: Mapping[str, int], found: Mapping[str, int]) -> Row:
    """Two tables of the same keys as one row."""
    return _by(what, truth, found)


def table(made: Iterable[Row]) -> str:
    """For people."""
    cells = [("what", "truth", "pfwatch", "difference")]
    cells += [(row.what, f"{row.truth:,}", f"{row.pfwatch:,}", f"{row.difference:,}") for row in made]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    form = "  ".join([f"{{:<{widths[0]}}}", *(f"{{:>{width}}}" for width in widths[1:])])
    return "\n".join(form.format(*line) for line in cells)


def _beside(truth: int, found: int) -> tuple[int, int]:
    return found, abs(found - truth)


def _sum(counters: Mapping[CounterKey, float], name: str) -> int:
    return int(sum(value for (metric, _), value in counters.items() if metric == name))


def _fate(counters: Mapping[CounterKey, float], fate: str, truth: int) -> Row:
    found = sum(
        value for (name, labels), value in counters.items() if name == "pfwatch_lines_total" and labels[1] == fate
    )
    return Row(f"lines {fate}", truth, *_beside(truth, int(found)))


def _by_label(counters: Mapping[CounterKey, float], name: str, position: int) -> Counter[str]:
    found = Counter[str]()
    for (metric, labels), value in counters.items():
        if metric == name:
            found[labels[position]] += int(value)
    return found


def _by(what: str, truth: Mapping[str, int], found: Mapping[str, int]) -> Row:
    difference = sum(abs(truth.get(key, 0) - found.get(key, 0)) for key in truth.keys() | found.keys())
    return Row(f"{what} ({len(truth):,})", sum(truth.values()), sum(found.values()), difference)


def _subjects(by_client: Mapping[str, int]) -> Counter[str]:
    """By whom they are counted as: of an IPv6 client its /64."""
    counted = Counter[str]()
    for address, times in by_client.items():
        counted[subject_of(address)] += times
    return counted


def _watches(detector: Detector, rule: str) -> dict[str, Watch]:
    watched = detector._watched[rule]
    return {row.subject: watched.read(row) for row in watched.rows}


def _counts(watches: Mapping[str, Watch]) -> Counter[str]:
    return Counter({subject: watch.count for subject, watch in watches.items()})


def _accounts(watches: Mapping[str, Watch]) -> Counter[str]:
    found = Counter[str]()
    for watch in watches.values():
        found.update(watch.facts.get("account", {}))
    return found
