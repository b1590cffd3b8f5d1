"""`pfwatch explain`, as a user runs it."""

import contextlib
import fcntl
import itertools
import json
import os
import pty
import struct
import subprocess
import sys
import termios
from datetime import UTC
from pathlib import Path
from typing import Any

import click
import pytest

from pfwatch.cli.explain import _Explainer
from pfwatch.cli.places import spans_of
from pfwatch.parsing.grammar import every_rule
from pfwatch.parsing.scanner import Scanner
from pfwatch.records.time import TimeReader
from tests.samples.logs import REFERENCE, logs

LINE = "Nov 22 09:53:31 mx1 postfix/smtpd[229]: warning: unknown[192.0.2.9]: SASL LOGIN authentication failed: x"
ENVELOPE = [
    "kind", "at", "host", "service", "daemon", "pid", "severity", "weight", "truncated", "part_of", "rule",
]  # fmt: skip


def explain(*arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "pfwatch", "explain", *arguments]
    return subprocess.run(command, input=stdin, capture_output=True, timeout=30, check=False)


def objects(result: subprocess.CompletedProcess[bytes]) -> list[dict[str, Any]]:
    assert result.returncode == 0, result.stderr
    assert result.stderr == b""
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_a_line_gives_one_object_with_every_key_of_the_contract() -> None:
    (one,) = objects(explain("--json", "--year", "2026", "--tz", "UTC", LINE + ", sasl_username=alice"))
    assert list(one)[: len(ENVELOPE)] == ENVELOPE
    assert one == {
        "kind": "auth_failed", "at": "2026-11-22T09:53:31+00:00", "host": "mx1", "service": "postfix",
        "daemon": "smtpd", "pid": 229, "severity": "warning", "weight": 1, "truncated": False, "part_of": None,
        "rule": "smtpd-sasl-failed", "client_ip": "192.0.2.9", "client_name": "unknown", "client_port": None,
        "method": "LOGIN", "cause": "credentials", "reason": "x", "username": "alice",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("content", "kinds"),
    [
        (b"", []),
        (b"\n", ["malformed"]),
        (LINE.encode(), ["auth_failed"]),
        (LINE.encode() + b"\n\n" + LINE.encode(), ["auth_failed", "malformed", "auth_failed"]),
        (bytes(range(256)) + b"\n" + LINE.encode() + b"\n", ["malformed", "malformed", "auth_failed"]),
    ],
    ids=["empty", "an empty line", "no line feed at the end", "an empty line between", "binary"],
)
def test_as_many_objects_come_out_as_lines_go_in(tmp_path: Path, content: bytes, kinds: list[str]) -> None:
    log = tmp_path / "mail.log"
    log.write_bytes(content)
    assert [one["kind"] for one in objects(explain("--json", "--file", str(log)))] == kinds


def test_standard_input_is_read_and_earlier_lines_are_remembered() -> None:
    head = "Nov 22 09:53:31 mx1 postfix/smtpd[229]: "
    log = (
        f"{head}connect from unknown[192.0.2.9]\n"
        f"{head}warning: TLS library problem: error:0A0000C1:SSL routines::no shared cipher:x.c:1:\n"
        f"{head}SSL_accept error from unknown[192.0.2.9]: -1\n"
        f"{head}warning: TLS library problem: error:0A0000C1:SSL routines::no shared cipher:x.c:1:\n"
    )
    _, alone, failed, joined = objects(explain("--json", stdin=log.encode()))
    assert (alone["client_ip"], alone["part_of"]) == ("192.0.2.9", None)
    assert failed["error"] is None
    assert (joined["part_of"], joined["client_ip"]) == ("tls_failed", "192.0.2.9")
    assert len(objects(explain("--json", "--file", "-", stdin=log.encode()))) == 4


def test_a_person_is_told_the_meaning_the_rule_and_what_is_counted() -> None:
    result = explain(LINE)
    text = result.stdout.decode()
    assert result.returncode == 0
    for expected in (
        "192.0.2.9 (no confirmed name) could not log in with LOGIN: the name or the\n  password was wrong.",
        "smtpd-sasl-failed",
        "postfix_sasl_failures_total +1",
        'service="postfix", method="LOGIN", cause="credentials"',
        "auth-bruteforce +1 for 192.0.2.9; 10 within 10 min open an incident",
    ):
        assert expected in text
    assert "\x1b" not in text


def test_the_fields_are_marked_below_the_line_and_what_was_typed_otherwise() -> None:
    shown = explain("--tz", "UTC", LINE + ", sasl_username=alice").stdout.decode()
    assert (
        "  Nov 22 09:53:31 mx1 postfix/smtpd[229]: warning: unknown[192.0.2.9]: SASL\n"
        "  a-------------- b-- c------ d---- e--   f------  g------ h--------\n"
        "  LOGIN authentication failed: x, sasl_username=alice\n"
        "  i~~~~                        j                k~~~~\n"
    ) in shown
    assert "  k username        alice  ~ typed by the client\n" in shown
    assert "    cause           credentials  concluded from the line\n" in shown


def test_what_an_earlier_line_said_is_told_apart() -> None:
    head = "Nov 22 09:53:31 mx1 postfix/"
    log = (
        f"{head}smtpd[1]: 0A1B2C3D4E: client=a.example.org[192.0.2.9]\n{head}cleanup[2]: 0A1B2C3D4E: message-id=<x@y>\n"
    )
    assert "    client_ip       192.0.2.9  from an earlier line\n" in explain(stdin=log.encode()).stdout.decode()


def test_a_repeated_line_is_marked_inside_its_brackets() -> None:
    body = "warning: unknown[192.0.2.9]: SASL LOGIN authentication failed: x"
    head = "Nov 22 09:53:31 mx1 postfix/smtpd[229]: "
    shown = explain("--tz", "UTC", f"{head}message repeated 11 times: [ {body}]").stdout.decode()
    assert "This happened 11 more times" in " ".join(shown.split())
    assert "weight          11  so many more of the line before" in shown
    (row, marks), *_ = [pair for pair in itertools.pairwise(shown.splitlines()) if "unknown[192.0.2.9]" in pair[0]]
    at = row.index("192.0.2.9")
    assert marks[at + 1 : at + 9] == "--------"


def test_a_refusal_is_marked_in_its_true_tail() -> None:
    line = (
        "Nov 22 09:53:31 mx1 postfix/smtpd[1]: NOQUEUE: reject: RCPT from unknown[192.0.2.9]: 554 5.7.1 <a@b.test>: "
        'Relay access denied; from=<"; to=<x@y.test>"@b.test> to=<a@b.test> proto=ESMTP helo=<x>'
    )
    shown = explain("--tz", "UTC", line).stdout.decode().splitlines()
    row, marks = next(pair for pair in itertools.pairwise(shown) if "proto=ESMTP" in pair[0])
    at = row.index("a@b.test> proto")
    assert marks[at + 1 : at + 8] == "~~~~~~~"


EVERY_EXAMPLE = "".join(f"{rule.example}\n" for rule, _ in every_rule().values()).encode()


@pytest.mark.parametrize("log", [EVERY_EXAMPLE, logs("3.10")["injection.log"]], ids=["examples", "injection"])
def test_no_row_is_wider_than_the_terminal_and_none_ends_in_blanks(log: bytes) -> None:
    result = explain(stdin=log)
    assert (result.returncode, result.stderr) == (0, b"")
    rows = result.stdout.decode().splitlines()
    assert max(map(len, rows)) <= 80
    assert not [row for row in rows if row.endswith(" ")]


def test_what_is_marked_as_typed_is_what_the_field_holds() -> None:
    log = EVERY_EXAMPLE + logs("3.10")["injection.log"]
    told = _Explainer()
    Scanner(told, TimeReader(UTC), every_event=True).scan(log, REFERENCE)
    marked = 0
    for line, event in zip(log.splitlines(), told.lines, strict=True):
        for span in spans_of(line, event):
            value = getattr(event, span.field, None)
            if span.field in {"username", "sender", "recipient", "helo", "text", "reason", "sample"} and value:
                assert line[span.begin : span.end].decode("utf-8", "backslashreplace")[:256] == value.lstrip(" ")
                marked += 1
    assert marked > 500


def on_a_terminal(*arguments: str, **environment: str) -> str:
    """What the command writes on a terminal of 60 columns."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 60, 0, 0))
    plain = {name: value for name, value in os.environ.items() if name not in {"NO_COLOR", "COLUMNS", "LINES"}}
    command = [sys.executable, "-m", "pfwatch", "explain", *arguments]
    done = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, env=plain | environment)
    os.close(slave)
    found = b""
    with contextlib.suppress(OSError):  # how Linux says that the other side of a terminal is gone
        while read := os.read(master, 4096):
            found += read
    os.close(master)
    assert done.wait(30) == 0
    return found.decode()


def test_a_terminal_gets_colours_and_its_own_width() -> None:
    shown = on_a_terminal(LINE)
    assert "\x1b[36m192.0.2.9\x1b[0m" in shown
    assert "\x1b[33mLOGIN\x1b[0m" in shown
    rows = [row for row in click.unstyle(shown).split("\r\n") if "_total" not in row]  # a metric's name is never cut
    assert 50 < max(map(len, rows)) <= 60


def test_no_color_is_honoured() -> None:
    assert "\x1b" not in on_a_terminal(LINE, NO_COLOR="1")


def test_a_client_that_no_rule_counts_is_said_to_be_one() -> None:
    local = explain(LINE.replace("192.0.2.9", "127.0.0.1")).stdout.decode()
    assert "auth-bruteforce leaves 127.0.0.1 alone: [detection] allow has it" in local
    aborted = explain(LINE.replace("failed: x", "aborted")).stdout.decode()
    assert "auth-bruteforce looks at such events, but does not count this one" in aborted


def test_a_line_that_is_not_read_leads_to_unread() -> None:
    shown = explain("Nov 22 09:53:31 mx1 postfix/smtpd[229]: something new").stdout.decode()
    assert "pfwatch unread" in shown
    cut = explain("Nov 22 09:53:31 mx1 postfix[229]: connect from unknown[192.0.2.9]")
    assert b"parser.permitSlashInProgramName" in cut.stderr


def test_the_line_before_is_what_a_bsd_repetition_speaks_of() -> None:
    log = LINE + "\nNov 22 09:53:32 mx1 last message repeated 2 times\n"
    shown = explain("--tz", "UTC", stdin=log.encode()).stdout.decode()
    assert (
        "  Nov 22 09:53:32 mx1 last message repeated 2 times\n  a-------------- b--                       c\n" in shown
    )


def test_dovecot_is_explained_where_that_is_asked_for() -> None:
    line = "Nov 22 10:29:15 mx1 dovecot: auth: sql(carol,192.0.2.7,<kaD08tpgT4VkV00r>): Password mismatch"
    assert [one["kind"] for one in objects(explain("--json", line))] == ["foreign"]
    text = explain("--dovecot", line).stdout.decode()
    assert "dovecot-auth-detail (Dovecot: auth/auth-request.c:" in text
    assert "part of    dovecot_auth_failed: counted there, not here" in text
    assert "Postfix" not in text


def test_typed_control_characters_do_not_reach_the_terminal() -> None:
    assert b"\x1b" not in explain(LINE + ", sasl_username=\x1b[31mred").stdout


def test_the_zone_is_that_of_the_option() -> None:
    (one,) = objects(explain("--json", "--tz", "Europe/Berlin", "--year", "2020", LINE))
    assert one["at"] == "2020-11-22T09:53:31+01:00"


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("--file", "/nonexistent/mail.log"), "/nonexistent/mail.log"),
        (("--file", "/"), "/"),
        (("--tz", "Mars/Olympus", LINE), "Mars/Olympus"),
        (("--file", "-", LINE), "--file"),
    ],
)
def test_wrong_usage_is_said_without_a_traceback(arguments: tuple[str, ...], named: str) -> None:
    result = explain(*arguments)
    assert result.returncode == 2
    assert named in result.stderr.decode()
    assert b"Traceback" not in result.stderr
