"""The log is found without being named, and the choice is explained."""

import os
from pathlib import Path

import pytest

from pfwatch.sources.errors import SourceError
from pfwatch.sources.find import ask_postconf, find_log


def make(root: Path, path: str, written: int = 1000) -> None:
    file = root / path.removeprefix("/")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.touch()
    os.utime(file, (written, written))


def nothing() -> str:
    return ""


@pytest.mark.parametrize("path", ["/var/log/mail.log", "/var/log/maillog"])
def test_a_usual_file_is_found(path: str, tmp_path: Path) -> None:
    make(tmp_path, path)
    found = find_log(nothing, tmp_path)
    assert (found.kind, found.path) == ("file", path)
    assert path in found.why


def test_of_two_usual_files_the_one_written_last_is_read(tmp_path: Path) -> None:
    make(tmp_path, "/var/log/mail.log", written=1000)
    make(tmp_path, "/var/log/maillog", written=2000)
    found = find_log(nothing, tmp_path)
    assert found.path == "/var/log/maillog"
    assert "/var/log/mail.log is older" in found.why


def test_the_file_that_postfix_writes_itself_wins(tmp_path: Path) -> None:
    make(tmp_path, "/var/log/mail.log")
    make(tmp_path, "/var/log/postfix.log")
    found = find_log(lambda: "/var/log/postfix.log", tmp_path)
    assert found.path == "/var/log/postfix.log"
    assert "maillog_file" in found.why


def test_postfix_logging_to_standard_output_names_no_file(tmp_path: Path) -> None:
    make(tmp_path, "/var/log/mail.log")
    assert find_log(lambda: "/dev/stdout", tmp_path).path == "/var/log/mail.log"


def test_without_a_file_the_journal_is_named(tmp_path: Path) -> None:
    make(tmp_path, "/var/log/journal/0123456789abcdef0123456789abcdef/system.journal")
    found = find_log(nothing, tmp_path)
    assert (found.kind, found.path) == ("journal", None)


def test_with_nothing_at_all_everything_looked_at_is_listed(tmp_path: Path) -> None:
    with pytest.raises(SourceError) as caught:
        find_log(nothing, tmp_path)
    for place in ("/var/log/mail.log", "/var/log/maillog", "maillog_file", "/var/log/journal", "/run/log/journal"):
        assert place in str(caught.value)


def test_postconf_is_asked_and_may_be_absent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert ask_postconf() == ""
    program = tmp_path / "postconf"
    program.write_text('#!/bin/sh\n[ "$*" = "-xh maillog_file" ] && echo /var/log/postfix.log\n')
    program.chmod(0o755)
    assert ask_postconf() == "/var/log/postfix.log"
    program.write_text("#!/bin/sh\necho 'unknown parameter'\nexit 1\n")
    assert ask_postconf() == ""
