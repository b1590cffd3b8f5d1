"""The measuring tools say what was measured: who is missing, who counted wrong, and nothing else on the page."""

import argparse
import json
import os
import re
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.bench import page
from tests.bench.__main__ import main, shown
from tests.bench.chart import Group, bars
from tests.bench.comparison import compare_mix
from tests.bench.counted import (
    Counted,
    by_exporter,
    by_fail2ban,
    by_guide,
    by_logwatch,
    by_mtail,
    by_pflogsumm,
    by_pfwatch,
    by_sshguard,
    by_wc,
    differences,
)
from tests.bench.measure import (
    Log,
    ProgramError,
    Run,
    Spread,
    Tool,
    compare,
    cpu_per_line,
    measure,
    output_of,
    prepared,
    times_as_fast,
)
from tests.bench.parts import PARTS, measure_parts
from tests.bench.peers import Peer, all_peers
from tests.bench.results import Line, MixResult, table, verdict
from tests.bench.scale import Step, measure_scale, strangers

TRUTH: Mapping[str, Any] = {
    "lines": 100,
    "foreign": 3,
    "kinds": {
        "auth_failed": 40,
        "relay_denied": 6,
        "rejected": 30,
        "tls_detail": 2,
        "dnsbl_listed": 1,
        "client_connected": 9,
        "message_accepted": 5,
        "message_removed": 4,
    },
    "deliveries_by_status": {"sent": 7, "deferred": 2, "bounced": 1},
}
PFLOGSUMM = """
     5   received
     7   delivered
     0   forwarded
     2   deferred  (2  deferrals)
     1   bounced
    36   rejected (97%)
"""
LOGWATCH = """
      40   SASL authentication failed                      40
       5   Accepted                                     2.14%
       6   5xx Reject relay denied                     21.81%
       9   Connections                                      9
       4   Removed from queue                               4
       2   Deferrals                                        2
"""
FAIL2BAN = r"""
|   1) [40] ^[^[]*\[<HOST>\](?::\d+)?: SASL ((?i)LOGIN|PLAIN) authentication failed:(?! Connection lost)
|   2) [31] ^[A-Z]{4} from [^[]*\[<HOST>\]
Lines: 100 lines, 0 ignored, 71 matched, 29 missed
"""
EXPORTER = """
# TYPE postfix_smtpd_connects_total counter
postfix_smtpd_connects_total 9
postfix_smtpd_sasl_authentication_failures_total 40
postfix_smtpd_messages_rejected_total{code="550"} 30
postfix_smtpd_messages_rejected_total{code="454"} 6
postfix_qmgr_messages_removed_total 4
"""
GUIDE = "logins failed: 40\nrelaying denied: 6\nrefused: 36\nTLS errors: 2\nmost often refused:\n     36 RCPT\n"


def mtail(**totals: int) -> str:
    def row(value: int, *labels: str) -> dict[str, Any]:
        return {"Labels": list(labels), "Value": {"Value": value}} if labels else {"Value": {"Value": value}}

    metrics: dict[str, Any] = {name: [{"Name": name, "LabelValues": [row(value)]}] for name, value in totals.items()}
    deliveries = [row(7, "sent"), row(2, "deferred"), row(1, "bounced")]
    metrics["deliveries"] = [{"Name": "deliveries", "Keys": ["status"], "LabelValues": deliveries}]
    return json.dumps(metrics)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "mail.log"
    path.write_text("Mar  2 06:00:00 mx1 postfix/smtpd[7]: lost connection after AUTH from unknown[192.0.2.1]\n" * 2)
    return path


@pytest.mark.parametrize(
    ("counts", "output", "wrong"),
    [
        (by_wc, "100 mail.log\n", "99 mail.log\n"),
        (by_guide, GUIDE, GUIDE.replace("40", "39")),
        (by_sshguard, "260 192.0.2.1 4 10\n" * 43, "260 192.0.2.1 4 10\n" * 42),
        (by_pflogsumm, PFLOGSUMM, PFLOGSUMM.replace("36 ", "35 ")),
        (by_logwatch, LOGWATCH, LOGWATCH.replace("   6 ", "   7 ")),
        (by_mtail, mtail(connected=9, auth_failed=40, relay_denied=6, rejected=30), mtail(connected=9)),
        (by_fail2ban, FAIL2BAN, FAIL2BAN.replace("[40]", "[41]")),
        (by_exporter, EXPORTER, EXPORTER.replace("454", "454\"} 3\npostfix_smtpd_messages_rejected_total{code=\"1")),
        (by_pfwatch, "", "no JSON"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)  # fmt: skip
def test_what_a_program_says_is_understood_and_a_difference_is_seen(
    counts: Any, output: str, wrong: str, log: Path
) -> None:
    if counts is not by_pfwatch:
        counted = counts(output, TRUTH, log)
        assert counted, "something is compared"
        assert differences(counted) == []
    assert differences(counts(wrong, TRUTH, log))


def test_a_script_that_counts_one_day_is_not_compared_on_a_log_of_two(tmp_path: Path) -> None:
    log = tmp_path / "mail.log"
    log.write_text("Mar  2 23:59:59 mx1 x\nMar  3 00:00:00 mx1 x\n")
    assert by_guide(GUIDE, TRUTH, log) == []


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("logs")


PEERS = all_peers()


@pytest.mark.parametrize("peer", PEERS, ids=[peer.key for peer in PEERS])
def test_every_peer_that_is_installed_runs_and_agrees_with_the_truth(peer: Peer, directory: Path) -> None:
    if not peer.installed:
        pytest.skip(f"{peer.tool.name} is not installed")
    log = prepared(directory, 5_000, "attack", 1, "bsd")
    run = measure(peer.tool, log.path, output_of(peer.tool, log.path))
    assert run.cpu > 0
    counted = peer.counts(output_of(peer.tool, log.path).read_text(), json.loads(log.truth.read_bytes()), log.path)
    assert counted
    if peer.key == "exporter":  # it does not know the services submission and smtps
        counted = [one for one in counted if one.name == "removed"]
    assert differences(counted) == []


def asked(**given: Any) -> argparse.Namespace:
    return argparse.Namespace(**({"lines": 2_000, "runs": 1, "seed": 1, "form": "bsd", "all_cores": True} | given))


def python(name: str, code: str, key: str = "x") -> Peer:
    return Peer(key, name, Tool(name, (sys.executable, "-c", code, "{file}")), by_wc, "counts lines")


COUNT_LINES = "import sys; print(sum(1 for line in open(sys.argv[1])))"


def test_who_is_missing_is_said_and_who_counts_wrong_too(directory: Path) -> None:
    first, wrong = python("first", COUNT_LINES), python("wrong", "print(3)", key="guide")
    missing = Peer("gone", "gone", Tool("gone", ("no-such-program", "{file}")), by_wc, "")
    core = min(os.sched_getaffinity(0))
    result = compare_mix(asked(), "normal", directory, core, first, [wrong, missing])
    text = shown(result, core)
    assert "gone is not installed: not measured" in text
    assert "first: counts agree with the truth (1 compared)" in text
    assert "wrong: MISMATCH lines: reported 3, true 2000" in text
    assert [line.name for line in result.one_core] == [line.name for line in result.all_cores] == ["first", "wrong"]
    assert result.one_core[0].faster is None
    assert result.one_core[1].faster


def test_a_slow_peer_reads_a_shorter_log_of_its_own(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.bench.comparison.SLOW_LINES", 500)
    slow = Peer("slow", "slow", Tool("slow", (sys.executable, "-c", COUNT_LINES, "{file}")), by_wc, "", slow=True)
    core = min(os.sched_getaffinity(0))
    result = compare_mix(asked(), "normal", directory, core, python("first", COUNT_LINES), [slow])
    assert [(line.lines, differences(line.counted)) for line in result.one_core] == [(2_000, []), (500, [])]


def test_ratios_are_of_neighbours_and_by_the_line() -> None:
    here = [Run(1.0, 1.0, 1.0), Run(2.0, 1.0, 1.0), Run(1.0, 1.0, 1.0)]
    there = [Run(1.0, 1.0, 1.0), Run(4.0, 1.0, 1.0), Run(3.0, 1.0, 1.0)]
    assert times_as_fast((here, 100), (there, 100), cpu_per_line) == Spread(1.0, 2.0, 3.0)
    assert times_as_fast((here, 100), (there, 10), cpu_per_line) == Spread(10.0, 20.0, 30.0)


def test_a_program_that_fails_stops_the_measurement_with_its_last_words(log: Path) -> None:
    failing = Tool("failing", (sys.executable, "-c", "import sys; sys.exit('no such thing')"))
    with pytest.raises(ProgramError, match=r"failing: .* ended with 1: no such thing"):
        compare([(failing, Log(log, log, 2))], 1, os.sched_getaffinity(0))


def test_the_cores_of_whoever_measures_are_left_as_they_were(log: Path) -> None:
    before = os.sched_getaffinity(0)
    one = Tool("one", (sys.executable, "-c", "import os, sys; print(len(os.sched_getaffinity(0)))"))
    compare([(one, Log(log, log, 2))], 1, {min(before)})
    assert output_of(one, log).read_text() == "1\n"
    assert os.sched_getaffinity(0) == before


def test_the_command_line_measures_the_peers_that_are_named(
    directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--lines", "1000", "--runs", "1", "--mix", "attack", "--peer", "wc", "--directory", str(directory)]
    assert main(arguments) == 0
    told = capsys.readouterr().out
    assert re.findall(r"(?m)^(pfwatch|[a-z].*) {2,}1,000 ", told.replace("  1,000", "   1,000")) != []
    assert "pfwatch: counts agree with the truth" in told
    assert "wc -l: counts agree with the truth" in told
    assert "sshguard" not in told


def test_the_page_is_not_written_from_a_part_of_the_measurements() -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["--write", "--peer", "wc"])


RESULT = MixResult(
    "normal",
    143.2,
    "bsd",
    5,
    one_core=[
        Line("pfwatch", 1_000_000, Run(1.25, 1.3, 34.0), None, [Counted("lines", 5, 5)]),
        Line("wc -l", 1_000_000, Run(0.025, 0.03, 2.0), Spread(0.01, 0.02, 0.03), [Counted("lines", 5, 5)]),
        Line("other <&>", 200_000, Run(2.5, 2.6, 30.0), Spread(9.0, 10.0, 11.0), [Counted("refused", 4, 5)]),
    ],
    all_cores=[
        Line("pfwatch", 1_000_000, Run(1.25, 1.3, 34.0), None),
        Line("guide's script", 1_000_000, Run(0.7, 0.4, 3.0), Spread(0.29, 0.31, 0.32)),
    ],
    cores=2,
    missing=["mtail"],
)
PARTS_TABLE = [("", "unit", "normal: CPU microseconds"), ("cut lines", "line", "0.010")]
STEPS = [Step("normal mix", 10_000, 1.234, 1.234, 31.0), Step("normal mix", 100_000, 1.2, 1.196, 33.4)]


def test_the_page_holds_what_was_measured_and_is_the_same_each_time(tmp_path: Path) -> None:
    file = tmp_path / "performance.md"
    written = page.write([RESULT], STEPS, PARTS_TABLE, PEERS, file)
    text = file.read_text()
    assert written == [file, tmp_path / page.PLOT]
    assert "| pfwatch | 1,000,000 | 1.250 | 800,000 |  | 1 agree |" in text
    assert "| other <&> | 200,000 | 2.500 | 80,000 | 10.00 (9.00 to 11.00) | 1 of 1 differ |" in text
    assert "| mtail |  |  |  |  | not installed, not measured |" in text
    assert "* wc -l, normal mix: pfwatch takes 50.00 times as long (33.33 to 100.00)" in text
    assert "* guide's script, normal mix, on 2 cores, elapsed: pfwatch takes 3.23 times as long" in text
    assert "* other <&>, normal mix: refused 4 of 5" in text
    assert "| normal mix | 10,000 | 1.23 | 1.23 | 31 |\n|  | 100,000 | 1.20 | 1.20 | 33 |" in text
    assert "| cut lines | line | 0.010 |" in text
    assert "\n\n\n" not in text
    page.write([RESULT], STEPS, PARTS_TABLE, PEERS, file)
    assert file.read_text() == text


def test_the_page_names_no_place_of_whoever_measured() -> None:
    text = page.text_of([RESULT], STEPS, PARTS_TABLE, PEERS)
    assert str(Path.cwd()) not in text


def test_the_plot_is_well_formed_and_longer_bars_are_more() -> None:
    root = ElementTree.fromstring(page.plot_of([RESULT, RESULT]))  # noqa: S314 - our own
    space = "{http://www.w3.org/2000/svg}"
    texts = [one.text for one in root.iter(f"{space}text")]
    assert {"pfwatch", "wc -l", "other <&>", "800,000", "normal mix"} <= set(texts)
    drawn = [float(one.attrib["width"]) for one in root.iter(f"{space}rect") if one.attrib.get("x") == "150"]
    widths = [width for width in drawn if width != 12]  # without the legend's
    assert len(widths) == 6
    assert widths[2] > widths[0] > widths[4], "wc, pfwatch, other"


def test_a_bar_without_a_number_is_left_out() -> None:
    root = ElementTree.fromstring(bars("x", ["one", "two"], [Group("a", [5.0, None]), Group("b", [None, 2.0])]))  # noqa: S314
    assert len([one for one in root.iter() if one.attrib.get("height") == "12" and one.attrib["x"] == "150"]) == 3


def test_a_table_stands_in_columns() -> None:
    lines = table(RESULT.one_core).splitlines()
    assert len(lines) == 4
    assert lines[3].endswith("9.00  10.00  11.00")
    assert verdict(RESULT.one_core[2]) == "other <&>: MISMATCH refused: reported 4, true 5"


def test_every_line_of_strangers_is_a_failed_login_from_another_address() -> None:
    text = b"".join(strangers(70_000)).decode()
    found = re.findall(r"unknown\[(100\.[0-9.]+)\]: SASL LOGIN authentication failed", text)
    assert len(set(found)) == len(found) == text.count("\n") == 70_000


def test_every_part_is_measured() -> None:
    rows = measure_parts(3_000, 1, ["attack"])
    assert [row[0] for row in rows[1:]] == list(PARTS)
    costs = [float(row[2].replace(",", "")) for row in rows[1:] if row[2] != "not compiled"]
    assert len(costs) >= len(PARTS) - 1
    assert all(cost > 0 for cost in costs)


def test_the_cost_of_a_line_is_without_the_start_of_the_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.bench.scale.SHORTEST", 1_000)
    monkeypatch.setattr("tests.bench.scale.SHORT_RUNS", 1)
    code = "import sys; [sum(range(1000)) for line in open(sys.argv[1])]"
    working = Tool("working", (sys.executable, "-c", code, "{file}"))
    steps = measure_scale(10_000, 1, tmp_path, min(os.sched_getaffinity(0)), working)
    new = "a failed login from another address in each line"
    lengths = [(mix, lines) for mix in ("normal mix", "attack mix") for lines in (1_000, 10_000)]
    assert [(step.what, step.lines) for step in steps] == [*lengths, (new, 10_000)]
    assert all(1 < step.further < 1_000 for step in steps), "a thousand additions take microseconds"
    assert all(step.microseconds < 1_000 for step in steps), "the start alone takes more than ten thousand"
