"""The service manager's side is a real datagram socket, by path and by abstract name."""

import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pfwatch.systemd import CredentialError, Notifier, credential


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[socket.socket, str]]:
    """A listening socket and the NOTIFY_SOCKET that leads to it."""
    name = str(tmp_path / "notify") if request.param == "path" else f"@pfwatch-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.settimeout(5)
        listener.bind(name.replace("@", "\0"))
        yield listener, name


@pytest.fixture
def notifier(manager: tuple[socket.socket, str]) -> Iterator[Notifier]:
    made = Notifier.from_environment({"NOTIFY_SOCKET": manager[1]})
    yield made
    made.close()


def lines(manager: tuple[socket.socket, str]) -> list[str]:
    return manager[0].recv(8192).decode().split("\n")


def test_readiness_comes_with_a_status(manager: tuple[socket.socket, str], notifier: Notifier) -> None:
    notifier.ready("reading /var/log/mail.log")
    assert lines(manager) == ["READY=1", "STATUS=reading /var/log/mail.log"]
    assert notifier.failed is None


def test_status_watchdog_and_stopping_are_one_message_each(
    manager: tuple[socket.socket, str], notifier: Notifier
) -> None:
    notifier.status("12 lines/s")
    notifier.watchdog()
    notifier.stopping("last commit")
    assert [lines(manager) for _ in range(3)] == [
        ["STATUS=12 lines/s"],
        ["WATCHDOG=1"],
        ["STOPPING=1", "STATUS=last commit"],
    ]


def test_a_reload_carries_the_monotonic_time_in_microseconds(
    manager: tuple[socket.socket, str], notifier: Notifier
) -> None:
    before = time.monotonic_ns() // 1000
    notifier.reloading()
    after = time.monotonic_ns() // 1000
    first, second = lines(manager)
    assert first == "RELOADING=1"
    name, value = second.split("=")
    assert name == "MONOTONIC_USEC"
    assert before <= int(value) <= after


def test_a_status_from_the_log_cannot_add_an_assignment(manager: tuple[socket.socket, str], notifier: Notifier) -> None:
    notifier.status("helo=<x\r\nMAINPID=1\n\x1b[2J\0ü\udcff>")
    assert lines(manager) == ["STATUS=helo=<x  MAINPID=1  [2J ü >"]


def test_a_long_status_fits_into_what_systemd_reads(manager: tuple[socket.socket, str], notifier: Notifier) -> None:
    notifier.ready("\U0001f4ed" * 5000)
    assert len(manager[0].recv(8192)) <= 4096


def test_without_a_service_manager_nothing_happens() -> None:
    for environ in ({}, {"NOTIFY_SOCKET": ""}):
        notifier = Notifier.from_environment(environ)
        notifier.ready("reading")
        notifier.watchdog()
        assert notifier.failed is None
        assert notifier.watchdog_interval is None
        notifier.close()


def test_a_socket_that_is_gone_is_remembered_and_never_raised(tmp_path: Path) -> None:
    path = tmp_path / "notify"
    notifier = Notifier.from_environment({"NOTIFY_SOCKET": str(path)})
    notifier.ready("reading")
    assert isinstance(notifier.failed, FileNotFoundError)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.settimeout(5)
        listener.bind(str(path))
        notifier.ready("reading")
        assert listener.recv(100) == b"READY=1\nSTATUS=reading"
        assert notifier.failed is None
    notifier.watchdog()
    assert isinstance(notifier.failed, ConnectionRefusedError)
    notifier.close()
    notifier.close()


def test_a_service_manager_that_does_not_read_holds_nothing_up_for_long(tmp_path: Path) -> None:
    path = str(tmp_path / "notify")
    notifier = Notifier.from_environment({"NOTIFY_SOCKET": path})

    def fill() -> None:
        while notifier.failed is None:
            notifier.watchdog()

    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(path)
        filling = threading.Thread(target=fill, daemon=True)
        filling.start()
        filling.join(timeout=10)
        assert isinstance(notifier.failed, TimeoutError)
    notifier.close()


@pytest.mark.parametrize("address", ["vsock:2:9999", "relative/path"])
def test_an_address_of_another_kind_is_a_failure_with_its_reason(address: str) -> None:
    notifier = Notifier.from_environment({"NOTIFY_SOCKET": address})
    notifier.ready("reading")
    assert notifier.failed is not None
    assert f"NOTIFY_SOCKET={address}" in str(notifier.failed)
    notifier.close()


@pytest.mark.parametrize(
    ("environ", "interval"),
    [
        ({"WATCHDOG_USEC": "60000000"}, 30.0),
        ({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": str(os.getpid())}, 30.0),
        ({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "-5"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": "x"}, None),
        ({}, None),
    ],
)
def test_the_watchdog_is_fed_twice_per_period_and_only_by_the_process_it_watches(
    environ: dict[str, str], interval: float | None
) -> None:
    assert Notifier.from_environment(environ).watchdog_interval == interval


@pytest.mark.parametrize(
    ("content", "value"),
    [
        (b"s3cret\n", "s3cret"),
        (b"s3cret", "s3cret"),
        (b" s3cret \n\n", " s3cret \n"),
        ("pässwörd\n".encode(), "pässwörd"),
        (b"@unset", None),
        (b"@unset\n", None),
    ],
)
def test_a_credential_is_the_file_without_its_last_line_break(
    tmp_path: Path, content: bytes, value: str | None
) -> None:
    (tmp_path / "smtp-password").write_bytes(content)
    assert credential("smtp-password", {"CREDENTIALS_DIRECTORY": str(tmp_path)}) == value


def test_no_credential_is_none(tmp_path: Path) -> None:
    assert credential("smtp-password", {}) is None
    assert credential("smtp-password", {"CREDENTIALS_DIRECTORY": ""}) is None
    assert credential("smtp-password", {"CREDENTIALS_DIRECTORY": str(tmp_path)}) is None


def test_an_unreadable_credential_says_where_and_what_to_do(tmp_path: Path) -> None:
    # A directory in its place cannot be read by anybody; a mode of 0 would not stop root.
    (tmp_path / "smtp-password").mkdir()
    with pytest.raises(CredentialError, match=r"smtp-password: cannot read .*: Is a directory; check LoadCredential"):
        credential("smtp-password", {"CREDENTIALS_DIRECTORY": str(tmp_path)})


def test_a_binary_credential_says_that_it_is_not_text_and_shows_none_of_it(tmp_path: Path) -> None:
    (tmp_path / "smtp-password").write_bytes(b"abc\xff\xfe")
    with pytest.raises(CredentialError, match=r"not UTF-8 text \(byte 4\)") as caught:
        credential("smtp-password", {"CREDENTIALS_DIRECTORY": str(tmp_path)})
    assert "abc" not in str(caught.value)


@pytest.mark.parametrize("name", ["", "..", "../shadow", "/etc/shadow", "a\0b"])
def test_a_credential_name_never_leads_out_of_its_directory(tmp_path: Path, name: str) -> None:
    with pytest.raises(CredentialError, match="no credential name"):
        credential(name, {"CREDENTIALS_DIRECTORY": str(tmp_path)})
