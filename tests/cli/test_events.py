"""`pfwatch events`, as a user runs it."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pfwatch.sources.settings import SourceSettings
from tests.samples.logs import REFERENCE, logs, read, truth


def events(*arguments: str | Path) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "pfwatch", "events", "--tz", "UTC", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, timeout=30, check=False)


def objects(*arguments: str | Path) -> list[dict[str, Any]]:
    result = events(*arguments)
    assert result.returncode == 0, result.stderr
    return [json.loads(line) for line in result.stdout.splitlines()]


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Guesses and relay attempts of one server, with a few lines that no rule reads."""
    path = tmp_path_factory.mktemp("logs") / "mail.log"
    unread = b"Nov 22 11:15:26 mx1 postfix/smtpd[1]: something new\nNov 22 11:15:26 mx1 cron[1]: x\nnothing\n"
    path.write_bytes(logs("3.10")["brute_force.log"] + logs("3.10")["relay.log"] + unread)
    os.utime(path, (REFERENCE, REFERENCE))
    return path


def test_every_finished_event_comes_out_and_unread_lines_only_when_named(log: Path) -> None:
    expected = [event.kind for event in read(log.read_bytes())[0]]
    unread = {"unsupported", "foreign", "malformed"}
    found = [one["kind"] for one in objects(log)]
    assert found == [kind for kind in expected if kind not in unread]
    named = objects(log, "--kind", "unsupported,foreign", "--kind", "malformed")
    assert {one["kind"] for one in named} == unread


@pytest.mark.parametrize("more", [(), ("--format", "text"), ("--client", "198.51.100.0/29", "--dovecot")])
def test_naming_kinds_changes_nothing_but_what_is_left_out(log: Path, more: tuple[str, ...]) -> None:
    every = events(log, *more).stdout.splitlines()
    for kinds in ("auth_failed", "relay_denied,auth_failed,tls_failed", "auth_probed,client_disconnected,rejected"):
        named = [b'{"kind":"%b",' % kind.encode() for kind in kinds.split(",")]
        if "text" in more:
            named = [b"  %b " % kind.encode() for kind in kinds.split(",")]
        expected = [line for line in every if any(name in line for name in named)]
        assert events(log, "--kind", kinds, *more).stdout.splitlines() == expected
        assert expected


@pytest.mark.parametrize("more", [(), ("--kind", "auth_failed"), ("--kind", "malformed")], ids=" ".join)
def test_what_is_no_mail_log_is_said(more: tuple[str, ...], log: Path, tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"\0\1 no log\n" * 5)
    result = events(path, *more)
    assert result.returncode == 0
    assert b"5 of 5 lines have no log header; is this a mail log?" in result.stderr
    assert len(result.stdout.splitlines()) == (5 if "malformed" in more else 0)
    assert events(log, *more).stderr == b""


def test_kinds_are_filtered(log: Path) -> None:
    found = objects(log, "--kind", "relay_denied")
    assert len(found) == sum(truth("3.10")["relay"]["relay_denied"].values())
    assert {one["kind"] for one in found} == {"relay_denied"}


def test_failed_logins_at_dovecot_are_read_where_that_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text(
        "Nov 22 10:29:15 mx1 dovecot: auth: passwd-file(carol,192.0.2.7,<kaD08tpgT4VkV00r>): Password mismatch\n"
        "Nov 22 10:29:17 mx1 dovecot: imap-login: Disconnected (auth failed, 3 attempts in 2 secs): user=<carol>, "
        "method=PLAIN, rip=192.0.2.7, lip=198.51.100.10, session=<kaD08tpgT4VkV00r>\n"
    )
    assert objects(path) == []
    (one,) = objects(path, "--dovecot", "--client", "192.0.2.7", "--account", "carol")
    assert (one["kind"], one["protocol"], one["weight"]) == ("dovecot_auth_failed", "imap", 3)
    assert b"(x3)" in events(path, "--dovecot", "--format", "text").stdout


def test_derived_events_say_so(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("Nov 22 11:15:26 mx1 postfix/smtpd[1]: disconnect from unknown[192.0.2.1] auth=0/2 commands=0/2\n")
    derived = objects(path, "--kind", "auth_probed")
    assert [(one["derived"], one["attempts"]) for one in derived] == [(True, 2)]


@pytest.mark.parametrize("client", ["198.51.100.1", "198.51.100.0/31"])
def test_clients_are_filtered_by_address_and_network(log: Path, client: str) -> None:
    found = objects(log, "--client", client, "--kind", "auth_failed")
    assert len(found) == truth("3.10")["brute_force"]["auth_failed"]["198.51.100.1"]
    assert {one["client_ip"] for one in found} == {"198.51.100.1"}


def test_accounts_are_filtered(log: Path) -> None:
    (name,) = truth("3.10")["brute_force"]["auth_failed_accounts"]
    assert {one["username"] for one in objects(log, "--account", name)} == {name}
    assert objects(log, "--account", "nobody") == []


def test_times_are_filtered_from_since_until_before_until(log: Path) -> None:
    every = objects(log)
    early = objects(log, "--until", "2026-11-22T11:15:25+00:00")
    late = objects(log, "--since", "2026-11-22T11:15:25+00:00")
    assert early
    assert late
    assert early + late == every
    assert {one["at"] for one in early} == {"2026-11-22T11:15:08+00:00"}


def test_a_year_that_is_set_is_taken(log: Path) -> None:
    assert objects(log, "--year", "2019")[0]["at"].startswith("2019-11-22T11:15:08")


def test_text_is_one_line_for_each_event_with_nothing_a_terminal_would_obey(log: Path) -> None:
    result = events(log, "--format", "text", "--kind", "relay_denied")
    assert len(result.stdout.splitlines()) == sum(truth("3.10")["relay"]["relay_denied"].values())
    assert b"\x1b" not in result.stdout


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("--kind", "auth_failedd"), "'auth_failedd' is no kind of event"),
        (("--client", "300.1.1.1"), "300.1.1.1"),
        (("--since", "yesterday"), "'yesterday' is no time"),
        (("--year", "12"), "--year"),
    ],
)
def test_a_wrong_filter_is_said_without_a_traceback(log: Path, arguments: tuple[str, ...], named: str) -> None:
    result = events(log, *arguments)
    assert result.returncode == 2
    assert named in result.stderr.decode()
    assert b"Traceback" not in result.stderr


def test_a_reader_that_has_enough_ends_it_quietly(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(logs("3.10")["brute_force.log"] * 40)
    assert path.stat().st_size > SourceSettings().block_size
    command = [sys.executable, "-m", "pfwatch", "events", str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(30) == 128 + 13
