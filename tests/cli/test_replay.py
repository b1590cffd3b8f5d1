"""`pfwatch replay`, as a user runs it."""

import bz2
import gzip
import json
import lzma
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC
from pathlib import Path
from typing import Any

import pytest

from pfwatch import replay as replay_module
from pfwatch.cli.replay import settings_from
from pfwatch.pipeline import Settings
from pfwatch.sources.settings import SourceSettings
from tests.bench.generate import generate
from tests.samples.logs import REFERENCE, logs, truth

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

STORY = logs("3.10")["brute_force.log"]
RELAY = logs("3.10")["relay.log"]
SUBJECT = "198.51.100.1"


def replay(*arguments: str | Path, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "pfwatch", "replay", "--tz", "UTC", *map(str, arguments)]
    return subprocess.run(command, input=stdin, capture_output=True, timeout=30, check=False)


def report(*arguments: str | Path, stdin: bytes = b"") -> dict[str, Any]:
    result = replay("--json", *arguments, stdin=stdin)
    assert result.returncode == 0, result.stderr
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def written(path: Path, content: bytes = STORY) -> Path:
    path.write_bytes(content)
    os.utime(path, (REFERENCE, REFERENCE))
    return path


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return written(tmp_path / "mail.log")


def test_the_report_has_the_keys_of_the_contract_and_the_truth(log: Path) -> None:
    found = report(log)
    assert list(found) == ["lines", "counts", "incidents", "notifications"]
    lines = found["lines"]
    assert list(lines) == ["total", "events", "tallied", "parts", "foreign", "unsupported", "malformed"]
    assert lines["total"] == truth("3.10")["brute_force"]["lines"] == sum(lines.values()) - lines["total"]
    assert found["counts"]["auth_failed"] == truth("3.10")["brute_force"]["auth_failed"][SUBJECT]
    (incident,) = found["incidents"]
    assert incident == {
        "rule": "auth-bruteforce", "severity": "warning", "subject": SUBJECT, "count": 68,
        "first": "2026-11-22T11:15:08+00:00", "last": "2026-11-22T11:15:08+00:00",
    }  # fmt: skip
    (told,) = found["notifications"]
    assert list(told) == ["incident", "reason", "at", "subject_line"]
    assert (told["reason"], told["at"]) == ("first", "2026-11-22T11:15:38+00:00")
    assert told["subject_line"] == f"[pfwatch mx1] 68 failed logins from {SUBJECT}"
    assert told["incident"].startswith("auth-bruteforce-20261122T111508Z-")


def test_counts_are_weighted_and_lines_are_not(tmp_path: Path) -> None:
    failure = "warning: unknown[192.0.2.7]: SASL LOGIN authentication failed: x"
    head = "Nov 22 11:15:08 mx1 postfix/smtpd[1]: "
    path = written(tmp_path / "log", f"{head}{failure}\n{head}message repeated 11 times: [ {failure}]\n".encode())
    found = report(path)
    assert (found["lines"]["total"], found["counts"]) == (2, {"auth_failed": 12})
    assert found["incidents"][0]["count"] == 12


def test_dovecot_is_read_where_the_configuration_says_so(tmp_path: Path) -> None:
    line = (
        "Nov 22 10:29:17 mx1 dovecot: imap-login: Disconnected (auth failed, 3 attempts in 2 secs): user=<carol>, "
        "method=PLAIN, rip=192.0.2.7, lip=198.51.100.10, session=<kaD08tpgT4VkV00r>\n"
    )
    log, config = written(tmp_path / "log", line.encode()), tmp_path / "pfwatch.toml"
    config.write_text("[dovecot]\nenabled = true\n")
    assert report(log)["lines"]["foreign"] == 1
    found = report(log, "--config", config)
    assert (found["lines"]["foreign"], found["counts"]) == (0, {"dovecot_auth_failed": 3})


COMPRESSORS: dict[str, Callable[[bytes], bytes]] = {
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": zstd.compress,
}


@pytest.mark.parametrize("suffix", COMPRESSORS)
def test_a_compressed_log_is_read_as_it_is(tmp_path: Path, log: Path, suffix: str) -> None:
    packed = written(tmp_path / f"mail.log.1{suffix}", COMPRESSORS[suffix](STORY))
    assert report(packed) == report(log)


def test_several_files_and_standard_input_are_one_story(tmp_path: Path) -> None:
    lines = STORY.splitlines(keepends=True)
    whole = report(written(tmp_path / "whole", STORY + RELAY))
    one = written(tmp_path / "mail.log.2.gz", gzip.compress(b"".join(lines[:50])))
    two = written(tmp_path / "mail.log.1", b"".join(lines[50:]) + RELAY)
    assert report(one, two) == whole
    assert report("-", "--year", "2026", stdin=STORY + RELAY) == whole


def test_the_year_and_the_zone_are_those_of_the_options(log: Path) -> None:
    command = [sys.executable, "-m", "pfwatch", "replay", "--json", "--tz", "Europe/Berlin", "--year", "2020", str(log)]
    found = json.loads(subprocess.run(command, capture_output=True, timeout=30, check=True).stdout)
    assert found["incidents"][0]["first"] == "2020-11-22T11:15:08+01:00"


def test_an_empty_log_is_a_report_of_nothing(tmp_path: Path) -> None:
    found = report(written(tmp_path / "log", b""))
    assert found["lines"]["total"] == 0
    assert (found["counts"], found["incidents"], found["notifications"]) == ({}, [], [])


def test_a_person_is_told_who_and_how_many(log: Path) -> None:
    text = replay(log).stdout.decode()
    assert "177 lines: " in text
    assert SUBJECT in text
    assert "Notifications that would have been sent: 1" in text


def test_a_template_that_cuts_the_tag_is_said_with_its_cure(tmp_path: Path) -> None:
    line = b"Nov 22 11:15:08 mx1 postfix[1]: connect from unknown[192.0.2.1]\n"
    result = replay(written(tmp_path / "log", line * 3))
    assert b"3 lines: a syslog template cuts the program name" in result.stderr
    assert b"parser.permitSlashInProgramName" in result.stderr


def test_what_is_no_mail_log_is_said(tmp_path: Path) -> None:
    result = replay(written(tmp_path / "log", b"# no log\n" * 5))
    assert result.returncode == 0
    assert b"5 of 5 lines have no log header; is this a mail log?" in result.stderr


def unreadable(path: Path) -> Path:
    """A link to itself: nobody can open it, the superuser neither."""
    path.symlink_to(path)
    return path


@pytest.mark.parametrize(
    "make",
    [
        lambda folder: folder / "missing.log",
        lambda folder: folder,
        lambda folder: unreadable(folder / "loop.log"),
        lambda folder: written(folder / "broken.gz", gzip.compress(STORY)[:200]),
    ],
    ids=["missing", "a directory", "unreadable", "damaged"],
)
def test_a_log_that_cannot_be_read_is_named_without_a_traceback(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    path = make(tmp_path)
    result = replay(path)
    assert result.returncode == 2
    assert str(path) in result.stderr.decode()
    assert b"Traceback" not in result.stderr
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may read everything")
def test_a_log_without_permission_is_named(log: Path) -> None:
    log.chmod(0)
    result = replay(log)
    assert result.returncode == 2
    assert str(log) in result.stderr.decode()


def test_what_the_log_says_was_dropped_is_said(tmp_path: Path) -> None:
    begin = b"Nov 22 10:00:0%d mx1 "
    lines = [
        begin % 1 + b"systemd-journald[241]: Suppressed 1016 messages from postfix@-.service",
        begin % 2 + b"systemd-journald[241]: Forwarding to syslog missed 23 messages.",
    ]
    result = replay(written(tmp_path / "mail.log", b"\n".join(lines) + b"\n"))
    assert result.returncode == 0
    assert b"the log says 2 times that messages were dropped before they came to it, 1,039 at least" in result.stderr
    assert b"the journal dropped 1016 messages of postfix@-.service" in result.stderr
    assert b"dropped" not in replay("--json", written(tmp_path / "mail.log")).stdout


def test_incidents_stand_in_the_order_of_their_beginning_however_many_there_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    attack = written(tmp_path / "mail.log", b"".join(generate(15_000, "attack", seed=4, distinct_clients=300)))
    few = written(tmp_path / "few.toml", b"[detection]\nmax_subjects = 20\n")  # so that some are dropped and come again
    for settings in (Settings(zone=UTC), settings_from(few, UTC, None)):
        found = []
        for most in (replay_module._MOST_IN_MEMORY, 100):
            monkeypatch.setattr(replay_module, "_MOST_IN_MEMORY", most)
            monkeypatch.setattr(replay_module, "_SORTED_AT_ONCE", most)
            found.append(list(replay_module.replay([str(attack)], settings, SourceSettings()).incidents))
        assert found[0] == found[1]
        assert len(found[0]) > 50
        assert [one.first for one in found[0]] == sorted(one.first for one in found[0])
