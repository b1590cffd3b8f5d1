"""A journal where a log file could be named."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.journals import Fields, fields, needs_files, of_lines, write_journal
from tests.samples.logs import logs

AT = 1_795_435_200_000_000


def pfwatch(*arguments: str | Path, directory: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pfwatch", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, cwd=directory)
    assert "Traceback" not in done.stderr
    return done


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    entries: list[Fields] = [
        *of_lines(logs("3.7")["brute_force.rfc3339.log"].splitlines()),
        fields("typed", AT, _EXE="/usr/bin/logger", _COMM="logger"),
    ]
    write_journal(tmp_path / "remote" / "x.journal", entries)
    return tmp_path / "remote"


@needs_files
def test_replay_of_a_journal_is_that_of_the_log(journal: Path, tmp_path: Path) -> None:
    log = tmp_path / "mail.log"
    log.write_bytes(logs("3.7")["brute_force.rfc3339.log"])
    by_file = json.loads(pfwatch("replay", "--json", log).stdout)
    for ways in ([journal], [journal / "x.journal"], [f"--journal={journal}"]):
        done = pfwatch("replay", "--json", *ways)
        assert "1 entry of the journal claims to be Postfix's, and another program wrote it" in done.stderr
        by_journal = json.loads(done.stdout)
        for key in ("counts", "incidents", "notifications"):
            assert by_journal[key] == by_file[key]
        assert by_journal["lines"]["total"] == by_file["lines"]["total"] - by_file["lines"]["foreign"]
        assert by_journal["counts"]["auth_failed"] > 20


@needs_files
def test_events_and_unread_read_a_journal_too(journal: Path) -> None:
    failed = pfwatch("events", "--format=ndjson", "--kind=auth_failed", f"--journal={journal}")
    assert json.loads(failed.stdout.splitlines()[0])["kind"] == "auth_failed"
    assert "everything that Postfix wrote was read" in pfwatch("unread", journal).stdout


def test_what_is_no_journal_is_said(tmp_path: Path) -> None:
    done = pfwatch("replay", f"--journal={tmp_path}")
    assert done.returncode == 2
    assert done.stderr == (
        f"pfwatch: {tmp_path}: there is no journal file (*.journal) in this directory, nor in one of a machine\n"
    )
    assert pfwatch("replay").returncode == 2
    assert "Missing argument 'FILE...', or --journal." in pfwatch("replay").stderr


def test_a_directory_of_a_journal_as_a_log_to_follow_gets_the_right_hint(tmp_path: Path) -> None:
    (tmp_path / "x.journal").touch()
    done = pfwatch("run", "--log", tmp_path, "--state", tmp_path / "state.db")
    assert done.returncode == 2
    assert f"{tmp_path}: is a directory; read it with --journal={tmp_path}" in done.stderr


@needs_files
@pytest.mark.skipif("STATE_DIRECTORY" in os.environ, reason="under systemd")
def test_without_systemd_python_a_journal_is_read_by_journalctl(journal: Path, tmp_path: Path) -> None:
    (tmp_path / "systemd").mkdir()
    (tmp_path / "systemd" / "__init__.py").write_text("raise ImportError\n")
    with_library = pfwatch("events", "--format=ndjson", journal)
    without = pfwatch("events", "--format=ndjson", journal, directory=tmp_path)
    assert without.stdout == with_library.stdout != ""
