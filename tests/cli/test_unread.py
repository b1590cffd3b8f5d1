"""`pfwatch unread`, as a user runs it."""

import bz2
import gzip
import itertools
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.samples.logs import logs

HEAD = "Nov 22 10:00:00 mail.secret.test postfix/smtpd[7]: "
ODD = (
    HEAD + 'warning: client mail.secret.test[100.65.1.7] sent 3 odd bytes to <joe.doe@corp.test> "Joe\'s own" words\n'
    "Nov 22 10:00:01 mail.secret.test postfix/smtpd[8]: "
    'warning: client unknown[2001:470::99] sent 17 odd bytes to <ann@corp.test> "x" words\n'
    "Nov 22 10:00:02 mail.secret.test postfix/qmgr[9]: 4ABCDEF0123: something odd, user=joe\n"
)


def unread(*arguments: str | Path, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "pfwatch", "unread", *map(str, arguments)]
    return subprocess.run(command, input=stdin, capture_output=True, timeout=60, check=False)


def found(*arguments: str | Path, stdin: bytes = b"") -> dict[str, Any]:
    result = unread("--json", *arguments, stdin=stdin)
    assert result.returncode == 0, result.stderr
    shown: dict[str, Any] = json.loads(result.stdout)
    return shown


def text(stdin: str, *arguments: str) -> str:
    result = unread(*arguments, stdin=stdin.encode())
    assert (result.returncode, result.stderr) == (0, b"")
    return result.stdout.decode()


def templates(log: str, *arguments: str) -> list[tuple[str, str, int, str]]:
    shown = found(*arguments, stdin=log.encode())["wordings"]
    return [(one["daemon"], one["severity"], one["count"], one["template"]) for one in shown]


def test_lines_that_differ_in_numbers_addresses_and_names_are_one_wording() -> None:
    assert templates(ODD) == [
        ("smtpd", "warning", 2, 'warning: client <name>[<ip>] sent <number> odd bytes to <text> "<text>" words'),
        ("qmgr", "info", 1, "<queue id>: something odd, user=<text>"),
    ]


def test_an_example_can_be_published_and_keeps_every_blank_bracket_and_quote() -> None:
    examples = [one["example"] for one in found(stdin=ODD.encode())["wordings"]]
    assert examples == [
        "Nov 22 10:00:00 mx1.example.org postfix/smtpd[7]: warning: client mx1.example.org[192.0.2.1] sent 3 odd bytes "
        'to <alice@example.org> "xxx\'x xxx" words',
        "Nov 22 10:00:02 mx1.example.org postfix/qmgr[9]: 4ABCDEF0123: something odd, user=alice",
    ]


def test_raw_shows_the_line_as_it_is() -> None:
    examples = [one["example"] for one in found("--raw", stdin=ODD.encode())["wordings"]]
    assert examples == [ODD.splitlines()[0], ODD.splitlines()[2]]


@pytest.mark.parametrize(
    ("body", "template", "published"),
    [
        ("odd path /home/joe/Maildir/new", "odd path <path>", "odd path /home/user/user/user"),
        ("odd table hash:/etc/postfix/virtual", "odd table hash:<path>", "odd table hash:/etc/postfix/virtual"),
        ("odd line 12 of main.cf", "odd line <number> of main.cf", "odd line 12 of main.cf"),
        ("odd relay [203.0.113.9]:25", "odd relay [<ip>]:<number>", "odd relay [192.0.2.1]:25"),
        ("odd mail of joe@corp.test.", "odd mail of <mail>.", "odd mail of alice@example.org."),
        ("odd ::1 and 2001:470::7, twice", "odd <ip> and <ip>, twice", "odd ::1 and 2001:db8::1, twice"),
        ("odd 300s for mail.corp.test:", "odd <number>s for <name>:", "odd 300s for mx2.example.org:"),
        ("odd from=<> to=<a@b.test>", "odd from=<> to=<text>", "odd from=<> to=<alice@example.org>"),
        ("odd 4dKPyZ1Bvbz2Q and 0A1B2C3D4E", "odd <queue id> and <queue id>", "odd 4dKPyZ1Bvbz2Q and 0A1B2C3D4E"),
        ("odd  blanks   stay, can't they", "odd  blanks   stay, can't they", "odd  blanks   stay, can't they"),
        ("odd jörg proto=ESMTP", "odd jörg proto=<text>", "odd jxrg proto=ESMTP"),
        ('odd "quote that is left open', 'odd "<text>', 'odd "xxxxx xxxx xx xxxx xxxx'),
        ("odd to=<joe.doe at the end", "odd to=<<text>", "odd to=<xxx.xxx xx xxx xxx"),
    ],
)
def test_masks_and_stand_ins(body: str, template: str, published: str) -> None:
    (one,) = found(stdin=f"{HEAD}{body}\n".encode())["wordings"]
    assert one["template"] == template
    assert one["example"] == f"Nov 22 10:00:00 mx1.example.org postfix/smtpd[7]: {published}"


def test_what_many_lines_differ_in_was_somebodys_word() -> None:
    names = ("joe", "ann", "tim", "sue", "kim", "lee", "max", "eva")
    log = "".join(f"{HEAD}warning: odd user {name} came again\n" for name in names)
    (one,) = found(stdin=log.encode())["wordings"]
    assert (one["count"], one["template"]) == (8, "warning: odd user <text> came again")
    assert "odd user xxx came" in one["example"]
    assert len(templates(log.partition("\n")[2])) == 7


def test_a_person_gets_groups_by_daemon_and_severity_the_most_frequent_first() -> None:
    log = ODD + (HEAD + "odd\n") * 3 + "Nov 22 10:00:00 mx1 cron[1]: job\n"
    lines = text(log).splitlines()
    assert lines[0] == "7 lines, of which 6 of Postfix that no rule reads"
    assert [line for line in lines if line[:1].isalpha() and line[-1].isdigit()] == [
        "smtpd info: 3", "smtpd warning: 2", "qmgr info: 1",
    ]  # fmt: skip
    assert "       3  odd" in lines
    assert "postconf mail_version" in text(log)
    assert "CONTRIBUTING.md" in text(log)
    assert "cron" not in text(log)


def test_the_limit_leaves_out_the_rarest_and_says_how_many_lines_those_are() -> None:
    shown = found("--limit", "1", stdin=ODD.encode())
    assert (shown["lines"], shown["unsupported"], len(shown["wordings"]), shown["other"]) == (3, 3, 1, 1)
    assert "1 more lines are of wordings that came less often" in text(ODD, "--limit", "1")


def test_more_wordings_than_are_kept_are_counted_together() -> None:
    words = ("".join(letters) for letters in itertools.product("bcdfghj", repeat=6))
    log = "".join(f"{HEAD}{word} {word}x\n" for word, _ in zip(words, range(3000), strict=False))
    shown = found("--limit", "5000", stdin=log.encode())
    assert (shown["unsupported"], len(shown["wordings"]), shown["other"]) == (3000, 2000, 1000)


def test_a_log_that_is_read_whole_gets_one_friendly_line(tmp_path: Path) -> None:
    log = tmp_path / "mail.log"
    log.write_bytes(logs("3.10")["brute_force.log"])
    lines = log.read_bytes().count(b"\n")
    result = unread(log)
    assert (result.returncode, result.stderr) == (0, b"")
    assert result.stdout.decode() == (
        f"{lines:,} lines: everything that Postfix wrote was read. There is nothing to report.\n"
    )


@pytest.mark.parametrize(("suffix", "compress"), [(".gz", gzip.compress), (".bz2", bz2.compress)])
def test_a_compressed_log_is_read_as_it_is(tmp_path: Path, suffix: str, compress: Callable[[bytes], bytes]) -> None:
    log = tmp_path / f"mail.log.1{suffix}"
    log.write_bytes(compress(ODD.encode()))
    assert found(log) == found("-", stdin=ODD.encode()) == found(stdin=ODD.encode())


def test_hostile_text_does_not_reach_the_terminal() -> None:
    shown = text(f"{HEAD}odd \x1b[31mred\x1b[0m \u202eevil\u202c \x07\n", "--raw")
    assert "\\x1b[31mred\\x1b[0m \\u202eevil\\u202c \\x07" in shown
    assert not {"\x1b", "\u202e", "\x07"} & set(shown)


def test_a_tag_that_was_cut_is_said_and_its_lines_are_no_wordings() -> None:
    cut = "Nov 22 10:00:00 mx1 postfix[7]: connect from unknown[192.0.2.7]\n"
    result = unread(stdin=(cut + ODD).encode())
    assert "parser.permitSlashInProgramName" in result.stderr.decode()
    shown = found(stdin=(cut + ODD).encode())
    assert (shown["misnamed"], shown["other"]) == (1, 1)
    assert "postfix" not in {one["daemon"] for one in shown["wordings"]}


def test_repeated_lines_and_other_log_formats_are_told_in_a_form_that_can_be_explained() -> None:
    wire = "<22>1 2026-11-22T10:00:00Z mx1 postfix/smtpd 7 - - warning: odd thing\n"
    repeated = f"{HEAD}message repeated 3 times: [ warning: odd thing]\n"
    full = "Sun 2026-11-22 10:00:00 UTC mx1 postfix/smtpd[7]: warning: odd thing\n"
    for line in (wire, repeated, full):
        (one,) = found("--raw", "--tz", "UTC", stdin=line.encode())["wordings"]
        done = subprocess.run(
            [sys.executable, "-m", "pfwatch", "explain", "--json", one["example"]], capture_output=True, check=True
        )
        told = json.loads(done.stdout)
        assert (told["kind"], told["text"]) == ("unsupported", "warning: odd thing")


def test_dovecot_is_asked_about_only_where_that_is_wanted() -> None:
    line = "Nov 22 10:00:00 mx1 dovecot: imap-login: Something new: user=<joe>\n"
    assert templates(line) == templates(line, "--dovecot") == []


@pytest.mark.parametrize("arguments", [("/nonexistent/mail.log",), ("/",), ("--limit", "0"), ("--tz", "Mars/Olympus")])
def test_wrong_usage_is_said_without_a_traceback(arguments: tuple[str, ...]) -> None:
    result = unread(*arguments)
    assert result.returncode == 2
    assert arguments[-1] in result.stderr.decode()
    assert b"Traceback" not in result.stderr
    assert result.stdout == b""
