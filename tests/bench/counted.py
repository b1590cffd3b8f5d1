"""What programs say about a log, beside the truth.

What enters: the output of a finished program and the truth of its log. What leaves: pairs of what it counted and what
is true, and the differences in words. What this file must never know: how a program was run or measured.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

# Their lines are accounted for under `lines`, whether or not `counts` names them.
NOT_COMPARED = {"foreign", "unsupported", "malformed", "tls_detail"}


class Counted(NamedTuple):
    """One number: its name, what a program says, None where it says nothing, and what is true."""

    name: str
    said: int | None
    true: int


Counts = Callable[[str, Mapping[str, Any], Path], list[Counted]]
"""From a program's output, the truth, and the log itself."""


def differences(counted: Iterable[Counted]) -> list[str]:
    """One line for each number that is not the truth."""
    return [f"MISMATCH {name}: reported {said}, true {true}" for name, said, true in counted if said != true]


def check(counts: Counts, output: Path, truth: Path, log: Path) -> list[Counted]:
    """What a finished program counted."""
    return counts(output.read_text(errors="replace"), json.loads(truth.read_bytes()), log)


def of_replay(report: Mapping[str, Any], truth: Mapping[str, Any]) -> list[Counted]:
    """What the JSON of `pfwatch replay` says: all of it is compared."""
    kinds: dict[str, int] = truth["kinds"]
    lines, counts = report.get("lines", {}), report.get("counts", {})
    parts = kinds.get("tls_detail", 0)
    read = lines.get("events", 0) + lines.get("tallied", 0)
    compared = sorted((kinds.keys() | counts.keys()) - NOT_COMPARED)
    return [
        Counted("lines.total", lines.get("total"), truth["lines"]),
        Counted("lines.events + lines.tallied", read, truth["lines"] - truth["foreign"] - parts),
        Counted("lines.parts", lines.get("parts"), parts),
        Counted("lines.foreign", lines.get("foreign"), truth["foreign"]),
        Counted("lines.unsupported", lines.get("unsupported"), 0),
        Counted("lines.malformed", lines.get("malformed"), 0),
        *(Counted(f"counts.{kind}", counts.get(kind, 0), kinds.get(kind, 0)) for kind in compared),
    ]


def mismatches(report: Mapping[str, Any], truth: Mapping[str, Any]) -> list[str]:
    """Where the JSON of `pfwatch replay` and the truth of the log differ; one line for each number."""
    return differences(of_replay(report, truth))


def by_pfwatch(output: str, truth: Mapping[str, Any], _log: Path) -> list[Counted]:
    """As `of_replay`; output that is no such JSON says nothing."""
    try:
        report = json.loads(output)
    except ValueError:
        report = None
    return of_replay(report if isinstance(report, dict) else {}, truth)


def by_wc(output: str, truth: Mapping[str, Any], _log: Path) -> list[Counted]:
    return [Counted("lines", _number(r"\s*(\d+)", output), truth["lines"])]


def by_guide(output: str, truth: Mapping[str, Any], log: Path) -> list[Counted]:
    """Of a log of one day; a longer one has more than the script counts."""
    days = {line[:6] for line in _first_and_last(log)}
    if len(days) > 1:
        return []
    kinds = truth["kinds"]
    return [
        Counted("failed logins", _number(r"logins failed: (\d+)", output), kinds.get("auth_failed", 0)),
        Counted("relaying denied", _number(r"relaying denied: (\d+)", output), kinds.get("relay_denied", 0)),
        Counted("refused", _number(r"refused: (\d+)", output), _refused(kinds)),
        Counted("TLS errors", _number(r"TLS errors: (\d+)", output), kinds.get("tls_detail", 0)),
    ]


def by_sshguard(output: str, truth: Mapping[str, Any], log: Path) -> list[Counted]:
    """One line for each attack: failed logins, clients gone after AUTH, clients listed by a DNSBL."""
    with log.open("rb") as lines:
        gone = sum(b": lost connection after AUTH from " in line for line in lines)
    kinds = truth["kinds"]
    attacks = kinds.get("auth_failed", 0) + gone + kinds.get("dnsbl_listed", 0)
    return [Counted("attacks", output.count("\n"), attacks)]


def by_pflogsumm(output: str, truth: Mapping[str, Any], _log: Path) -> list[Counted]:
    def total(name: str) -> int | None:
        return _number(rf"(?m)^ *(\d+k?) +{name}\b", output)

    kinds, statuses = truth["kinds"], truth["deliveries_by_status"]
    compared = [
        Counted("received", total("received"), kinds.get("message_accepted", 0)),
        Counted("delivered", total("delivered"), statuses.get("sent", 0)),
        Counted("deferrals", _number(r"\((\d+k?) +deferrals\)", output), statuses.get("deferred", 0)),
        Counted("bounced", total("bounced"), statuses.get("bounced", 0)),
        Counted("rejected", total("rejected"), _refused(kinds)),
    ]
    return [one for one in compared if one.said is not None]  # from half a million on it rounds, and writes 600k


def by_logwatch(output: str, truth: Mapping[str, Any], _log: Path) -> list[Counted]:
    def total(name: str) -> int:
        return _number(rf"(?m)^ *(\d+) +{re.escape(name)}(?:  |\n)", output) or 0  # it leaves out what is none

    kinds, statuses = truth["kinds"], truth["deliveries_by_status"]
    return [
        Counted("failed logins", total("SASL authentication failed"), kinds.get("auth_failed", 0)),
        Counted("relaying denied", total("5xx Reject relay denied"), kinds.get("relay_denied", 0)),
        Counted("accepted", total("Accepted"), kinds.get("message_accepted", 0)),
        Counted("removed from the queue", total("Removed from queue"), kinds.get("message_removed", 0)),
        Counted("deferrals", total("Deferrals"), statuses.get("deferred", 0)),
        Counted("connections", total("Connections"), kinds.get("client_connected", 0)),
    ]


def by_mtail(output: str, truth: Mapping[str, Any], _log: Path) -> list[Counted]:
    """Of our program for it, `postfix.mtail`."""
    try:
        metrics = json.loads(output)
    except ValueError:
        metrics = {}

    def total(name: str, *labels: str) -> int:
        rows = metrics[name][0].get("LabelValues") or [] if name in metrics else []
        return sum(row["Value"]["Value"] for row in rows if tuple(row.get("Labels") or ()) == labels)

    kinds = truth["kinds"]
    return [
        Counted("connections", total("connected"), kinds.get("client_connected", 0)),
        Counted("failed logins", total("auth_failed"), kinds.get("auth_failed", 0)),
        Counted("relaying denied", total("relay_denied"), kinds.get("relay_denied", 0)),
        Counted("rejected", total("rejected"), kinds.get("rejected", 0)),
        *(
            Counted(f"deliveries {status}", total("deliveries", status), times)
            for status, times in sorted(truth["deliveries_by_status"].items())
        ),
    ]


def by_fail2ban(output: str, truth: Mapping[str, Any], _log: Path) -> list[Counted]:
    """Its patterns for refusals leave out some on purpose; that for failed logins does not."""
    logins = _number(r"\) \[(\d+)\] .*authentication failed", output) or 0  # it leaves out what is none
    return [
        Counted("lines", _number(r"(?m)^Lines: (\d+) lines", output), truth["lines"]),
        Counted("failed logins", logins, truth["kinds"].get("auth_failed", 0)),
    ]


def by_exporter(output: str, truth: Mapping[str, Any], _log: Path) -> list[Counted]:
    """Sums over the labels of its metrics."""

    def total(name: str) -> int | None:
        found = re.findall(rf"(?m)^{name}(?:\{{.*\}})? (\S+)$", output)
        return int(sum(map(float, found))) if found else None

    kinds = truth["kinds"]
    return [
        Counted("connections", total("postfix_smtpd_connects_total"), kinds.get("client_connected", 0)),
        Counted(
            "failed logins", total("postfix_smtpd_sasl_authentication_failures_total"), kinds.get("auth_failed", 0)
        ),
        Counted("refused", total("postfix_smtpd_messages_rejected_total"), _refused(kinds)),
        Counted("removed", total("postfix_qmgr_messages_removed_total"), kinds.get("message_removed", 0)),
    ]


def _refused(kinds: Mapping[str, int]) -> int:
    """Refusals of every kind."""
    return kinds.get("rejected", 0) + kinds.get("relay_denied", 0)


def _number(pattern: str, text: str) -> int | None:
    """What the pattern's group finds, None if it is no whole number."""
    found = re.search(pattern, text)
    return int(found[1]) if found and found[1].isdigit() else None


def _first_and_last(log: Path) -> list[bytes]:
    with log.open("rb") as file:
        first = file.readline()
        file.seek(max(0, log.stat().st_size - 8192))
        return [first, file.read().splitlines()[-1]]
