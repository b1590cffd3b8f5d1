"""How `pfwatch run` refuses what cannot work: in words, with the documented exit code, without a traceback."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pfwatch", "run", *map(str, arguments)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    assert "Traceback" not in result.stderr
    assert result.stdout == ""
    return result


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "mail.log").touch()
    path = tmp_path / "pfwatch.toml"
    path.write_text(
        f'[log]\npaths = ["{tmp_path}/mail.log"]\n[state]\npath = "{tmp_path}/state.db"\n'
        '[web]\nlisten = "127.0.0.1:0"\n'
    )
    return path


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_a_directory_as_a_log_is_a_mistake_of_the_command(config: Path, tmp_path: Path) -> None:
    result = run("--config", config, "--log", tmp_path)
    assert result.returncode == 2
    assert result.stderr == f"pfwatch: {tmp_path}: is a directory; name the log file in it\n"


def test_every_problem_of_a_configuration_is_one_line_with_its_place(config: Path) -> None:
    config.write_text('[log]\npath = []\n[web]\nlisten = "everywhere"\n')
    result = run("--config", config)
    assert result.returncode == 2
    first, second = result.stderr.splitlines()
    assert first.startswith(f"pfwatch: {config}:2:1: log.path: ")
    assert second.startswith(f"pfwatch: {config}:4:10: web.listen: expected an address of this machine and a port")


def test_a_configuration_that_is_not_there_is_said(tmp_path: Path) -> None:
    result = run("--config", tmp_path / "missing.toml")
    assert result.returncode == 2
    assert f"{tmp_path}/missing.toml: there is no such file" in result.stderr


def test_a_state_directory_that_cannot_be_used_is_said_with_what_to_do(config: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    result = run("--config", config, "--state", tmp_path / "file" / "state.db")
    assert result.returncode == 3
    assert result.stderr.startswith("pfwatch: ")
    assert str(tmp_path / "file") in result.stderr
    assert "[state] path, or --state" in result.stderr


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_state_directory_of_somebody_else_is_said_with_what_to_do(config: Path, tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir(mode=0o500)
    result = run("--config", config, "--state", tmp_path / "locked" / "state.db")
    assert result.returncode == 3
    assert "[state] path, or --state" in result.stderr


def test_a_taken_port_is_said_with_who_may_hold_it(config: Path, taken_port: int) -> None:
    config.write_text(config.read_text().replace("127.0.0.1:0", f"127.0.0.1:{taken_port}"))
    result = run("--config", config)
    assert result.returncode == 3
    assert f"cannot serve /metrics on 127.0.0.1 port {taken_port}: another process holds this port" in result.stderr
