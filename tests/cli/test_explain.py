"""`pfwatch explain`, as a user runs it."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

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
    for expected in ("auth_failed", "smtpd-sasl-failed", "192.0.2.9", "postfix_sasl_failures_total", "auth-bruteforce"):
        assert expected in text
    assert "\x1b" not in text


def test_dovecot_is_explained_where_that_is_asked_for() -> None:
    line = "Nov 22 10:29:15 mx1 dovecot: auth: sql(carol,192.0.2.7,<kaD08tpgT4VkV00r>): Password mismatch"
    assert [one["kind"] for one in objects(explain("--json", line))] == ["foreign"]
    text = explain("--dovecot", line).stdout.decode()
    assert "dovecot-auth-detail (Dovecot: auth/auth-request.c" in text
    assert "part of     dovecot_auth_failed: counted there, not here" in text
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
