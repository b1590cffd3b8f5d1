"""`pfwatch demo`, as somebody runs it who has nothing but the package."""

import contextlib
import functools
import re
import signal
import socket
import subprocess
import sys

import pytest

from pfwatch.web.settings import WebSettings


def demo() -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pfwatch", "demo", "--once"]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)


def test_it_ends_by_itself_with_the_mail_on_the_screen() -> None:
    result = demo()
    assert result.returncode == 0, result.stderr
    assert re.search(
        r"^Subject: \[pfwatch mx1\] \d+ failed logins from 100\.93\.122\.226$", result.stdout, re.MULTILINE
    )
    assert re.search(r"^From: pfwatch <pfwatch@mx1\.example\.org>$", result.stdout, re.MULTILINE)
    assert "68 times within 6 s" in result.stdout
    assert "does not exist" not in result.stdout


def test_it_takes_another_port_when_the_usual_one_is_taken() -> None:
    usual = WebSettings().port
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):  # then somebody else has it, which is as good
            stack.enter_context(socket.create_server(("127.0.0.1", usual)))
        result = demo()
    assert result.returncode == 0, result.stderr
    assert f"port {usual}: another process holds this port" in result.stderr
    assert "taking any free port" in result.stderr
    served = re.search(r"Metrics: http://127\.0\.0\.1:(\d+)/metrics", result.stdout)
    assert served
    assert int(served[1]) != usual
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_also_in_the_background_of_a_shell(number: signal.Signals) -> None:
    command = [sys.executable, "-u", "-m", "pfwatch", "demo"]
    background = functools.partial(signal.signal, signal.SIGINT, signal.SIG_IGN)  # as a shell does with `&`
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, preexec_fn=background) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("Metrics: "):
                break
        process.send_signal(number)
        assert process.wait(timeout=10) == 0
