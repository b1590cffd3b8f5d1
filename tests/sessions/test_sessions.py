"""What several lines say together, line by line as Postfix writes them."""

import random
from datetime import UTC

import pytest

from pfwatch.events import AuthProbed, ContentAction, MessageQueued, ProxyVerdict, Rejected, TlsDetail, TlsFailed
from pfwatch.parsing.scanner import Scanner
from pfwatch.records.time import TimeReader
from pfwatch.sessions import Sessions
from tests.samples.logs import REFERENCE, richest_mix
from tests.sessions.lines import Log, ip_of

NO_CIPHER = "warning: TLS library problem: error:0A0000C1:SSL routines::no shared cipher:../ssl/x.c:2361:"
TOO_LOW = "warning: TLS library problem: error:0A00018C:SSL routines::version too low:../ssl/x.c:1780:"
STRANGE = "warning: TLS library problem: error:00000001:lib(0)::reason(1):x.c:1:"


@pytest.fixture
def log() -> Log:
    return Log()


def error_of(ip: str) -> str:
    return f"SSL_accept error from unknown[{ip}]: -1"


class TestHandshake:
    """A failed TLS handshake and the library's lines about it."""

    def test_the_library_line_names_the_error(self, log: Log) -> None:
        log.write(error_of("192.0.2.1"))
        log.write(NO_CIPHER)
        assert log.failures() == []
        log.write("lost connection after STARTTLS from unknown[192.0.2.1]")
        assert log.failures() == [("192.0.2.1", "no_shared_cipher")]
        assert "no shared cipher" in str(log.finished[0].reason)  # type: ignore[attr-defined]

    def test_two_processes_do_not_take_each_others_library_line(self, log: Log) -> None:
        log.write(error_of("192.0.2.1"), pid=1)
        log.write(error_of("192.0.2.2"), pid=2)
        log.write(TOO_LOW, pid=2)
        log.write(NO_CIPHER, pid=1)
        log.write("connect from unknown[192.0.2.3]", pid=1)
        log.write("connect from unknown[192.0.2.4]", pid=2)
        assert log.failures() == [("192.0.2.1", "no_shared_cipher"), ("192.0.2.2", "unsupported_protocol")]

    def test_the_same_pid_on_two_hosts_is_two_processes(self, log: Log) -> None:
        log.write(error_of("192.0.2.1"), host="mx1")
        log.write(error_of("192.0.2.2"), host="mx2")
        log.write(TOO_LOW, host="mx2")
        log.write(NO_CIPHER, host="mx1")
        log.sessions.finish()
        log.finished += log.sessions.take()
        assert sorted(log.failures()) == [("192.0.2.1", "no_shared_cipher"), ("192.0.2.2", "unsupported_protocol")]

    def test_of_several_library_lines_the_first_that_is_known_counts(self, log: Log) -> None:
        log.write(error_of("192.0.2.1"))
        log.write(STRANGE)
        log.write(NO_CIPHER)
        log.write(TOO_LOW)
        log.write("connect from unknown[192.0.2.3]")
        assert log.failures() == [("192.0.2.1", "no_shared_cipher")]
        assert not any(isinstance(event, TlsDetail) for event in log.finished)

    def test_without_a_library_line_the_next_line_of_the_process_closes_it(self, log: Log) -> None:
        log.write(error_of("192.0.2.1"))
        log.write("warning: unknown[192.0.2.9]: SASL LOGIN authentication failed: x", pid=2)
        assert log.failures() == []
        log.write("connect from unknown[192.0.2.3]")
        assert log.failures() == [("192.0.2.1", "other")]

    def test_even_a_line_that_no_rule_reads_closes_it(self, log: Log) -> None:
        log.write(error_of("192.0.2.1"))
        log.write("something that nobody knows")
        assert log.failures() == [("192.0.2.1", "other")]

    def test_a_second_failure_of_the_process_closes_the_first(self, log: Log) -> None:
        log.write(error_of("192.0.2.1"))
        log.write(error_of("192.0.2.2"))
        log.write(NO_CIPHER)
        log.sessions.finish()
        log.finished += log.sessions.take()
        assert log.failures() == [("192.0.2.1", "other"), ("192.0.2.2", "no_shared_cipher")]

    def test_time_closes_it(self, log: Log) -> None:
        log.write(error_of("192.0.2.1"))
        begin = 1_795_341_180.0
        log.sessions.tick(begin + 5)
        assert log.sessions.take() == []
        log.sessions.tick(begin + 6)
        log.finished += log.sessions.take()
        assert log.failures() == [("192.0.2.1", "other")]
        assert log.sessions.watch == set()

    def test_an_event_of_another_process_much_later_closes_it(self, log: Log) -> None:
        log.write(error_of("192.0.2.1"))
        log.write("warning: unknown[192.0.2.9]: SASL LOGIN authentication failed: x", pid=2, second=10)
        assert [event.kind for event in log.finished] == ["tls_failed", "auth_failed"]

    def test_a_line_that_knows_its_error_waits_for_nothing(self, log: Log) -> None:
        log.write("SSL_accept error from unknown[192.0.2.1]: lost connection")
        assert log.failures() == [("192.0.2.1", "lost_connection")]

    def test_a_library_line_without_a_failure_has_the_connected_client(self, log: Log) -> None:
        log.write("connect from unknown[192.0.2.1]")
        log.write("connect from unknown[192.0.2.2]", pid=2)
        log.write(NO_CIPHER)
        event = log.one(TlsDetail)
        assert isinstance(event, TlsDetail)
        assert event.client is not None
        assert (event.client.ip, event.envelope.part_of) == ("192.0.2.1", None)

    def test_after_the_disconnect_a_library_line_has_no_client(self, log: Log) -> None:
        log.write("connect from unknown[192.0.2.1]")
        log.write("disconnect from unknown[192.0.2.1] commands=0/0")
        log.write(NO_CIPHER)
        event = log.one(TlsDetail)
        assert isinstance(event, TlsDetail)
        assert event.client is None

    def test_an_outbound_failure_is_joined_likewise(self, log: Log) -> None:
        log.write("SSL_connect error to mx.example.net[198.51.100.4]:25: -1", daemon="smtp")
        log.write(NO_CIPHER, daemon="smtp")
        log.write("connect to mx.example.net[198.51.100.4]:25: x", daemon="smtp")
        event = log.one(TlsFailed)
        assert isinstance(event, TlsFailed)
        assert (event.direction, event.peer_ip, event.error) == ("outbound", "198.51.100.4", "no_shared_cipher")


class TestAuthProbed:
    """Failed AUTH commands that only the disconnect counts."""

    def disconnect(self, log: Log, auth: str, failed: int) -> tuple[int, int] | None:
        log.write("connect from unknown[192.0.2.1]")
        for _ in range(failed):
            log.write("warning: unknown[192.0.2.1]: SASL LOGIN authentication failed: x, sasl_username=alice")
        log.write(f"disconnect from unknown[192.0.2.1] ehlo=1 auth={auth} commands=1/9")
        probed = [event for event in log.finished if isinstance(event, AuthProbed)]
        assert len(probed) <= 1
        return (probed[0].attempts, probed[0].succeeded) if probed else None

    @pytest.mark.parametrize(
        ("auth", "failed", "expected"),
        [
            ("0/3", 0, (3, 0)),
            ("0/3", 1, (2, 0)),
            ("1/5", 2, (2, 1)),
            ("0/3", 3, None),
            ("0/3", 4, None),
            ("1", 0, None),
            ("2/2", 0, None),
        ],
    )
    def test_what_failed_less_what_has_a_line_of_its_own(
        self, log: Log, auth: str, failed: int, expected: tuple[int, int] | None
    ) -> None:
        assert self.disconnect(log, auth, failed) == expected

    def test_the_next_session_of_the_process_begins_anew(self, log: Log) -> None:
        assert self.disconnect(log, "0/3", 3) is None
        log.finished.clear()
        assert self.disconnect(log, "0/3", 0) == (3, 0)

    def test_a_repeated_failure_counts_as_often_as_it_says(self, log: Log) -> None:
        failure = "warning: unknown[192.0.2.1]: SASL LOGIN authentication failed: x"
        log.write("connect from unknown[192.0.2.1]")
        log.write(failure)
        log.write(f"message repeated 2 times: [ {failure}]")
        log.write("disconnect from unknown[192.0.2.1] auth=0/4 commands=0/4")
        event = log.one(AuthProbed)
        assert isinstance(event, AuthProbed)
        assert event.attempts == 1
        assert event.envelope.derived

    def test_our_own_broken_backend_is_no_probe(self, log: Log) -> None:
        log.write("connect from unknown[192.0.2.1]")
        log.write(
            "warning: unknown[192.0.2.1]: SASL PLAIN authentication failed: Connection lost to authentication server"
        )
        log.write("disconnect from unknown[192.0.2.1] auth=0/1 commands=0/1")
        assert [event.kind for event in log.finished] == ["auth_backend_failed"]


class TestMessage:
    """A message by its queue id."""

    queued = "A1B2C3D: from=<alice@example.org>, size=1, nrcpt=1 (queue active)"

    @pytest.fixture
    def log(self) -> Log:
        log = Log()
        log.scanner = Scanner(log.sessions, TimeReader(UTC), every_event=True)
        return log

    def queued_events(self, log: Log) -> list[MessageQueued]:
        return [event for event in log.finished if isinstance(event, MessageQueued)]

    def test_it_has_the_client_and_the_account_of_the_line_that_accepted_it(self, log: Log) -> None:
        log.write("A1B2C3D: client=w[192.0.2.1], sasl_method=PLAIN, sasl_username=alice", pid=7)
        log.write(self.queued, daemon="qmgr", pid=2)
        (event,) = self.queued_events(log)
        assert event.client is not None
        assert (event.client.ip, event.username, event.reactivated) == ("192.0.2.1", "alice", False)

    def test_every_further_activation_is_a_reactivation_until_it_is_removed(self, log: Log) -> None:
        log.write("A1B2C3D: client=w[192.0.2.1]", pid=7)
        for _ in range(3):
            log.write(self.queued, daemon="qmgr", pid=2)
        log.write("A1B2C3D: removed", daemon="qmgr", pid=2)
        log.write(self.queued, daemon="qmgr", pid=2)
        assert [event.reactivated for event in self.queued_events(log)] == [False, True, True, False]
        assert self.queued_events(log)[-1].client is None

    def test_the_same_queue_id_on_another_host_is_another_message(self, log: Log) -> None:
        log.write("A1B2C3D: client=w[192.0.2.1]", host="mx1")
        log.write(self.queued, daemon="qmgr", host="mx2")
        assert self.queued_events(log)[0].client is None

    def test_the_message_id_line_has_the_client_too(self, log: Log) -> None:
        log.write("A1B2C3D: client=w[192.0.2.1]")
        log.write("A1B2C3D: message-id=<x@example.org>", daemon="cleanup")
        assert [getattr(event, "client").ip for event in log.finished] == ["192.0.2.1", "192.0.2.1"]  # noqa: B009


def go_on(block: bytes, saved: dict[str, dict[bytes, bytes]], state: bytes | None) -> tuple[Sessions, Scanner]:
    sessions = Sessions(keep=True)
    sessions.restore(saved)
    scanner = Scanner(sessions, TimeReader(UTC), every_event=True)
    if state is not None:
        scanner.restore(state)
    scanner.scan(block, REFERENCE)
    return sessions, scanner


def test_a_restart_after_any_line_goes_on_identically() -> None:
    lines = richest_mix().splitlines(keepends=True)
    whole, _ = go_on(b"".join(lines), {}, None)
    whole.finish()
    expected = whole.take()
    for place in [1, *random.Random(3).sample(range(2, len(lines)), 60)]:
        before, scanner = go_on(b"".join(lines[:place]), {}, None)
        events = before.take()
        saved = {part: {k: v for k, v in rows.items() if v is not None} for part, rows in before.drain().items()}
        after, _ = go_on(b"".join(lines[place:]), saved, scanner.state())
        after.finish()
        assert events + after.take() == expected, f"restarted after line {place}"


def test_drain_gives_each_change_once_and_says_what_is_gone(log: Log) -> None:
    log.write("connect from unknown[192.0.2.1]")
    assert [value is not None for value in log.sessions.drain()["client"].values()] == [True]
    assert not any(log.sessions.drain().values())
    log.write("disconnect from unknown[192.0.2.1] commands=0/0")
    assert list(log.sessions.drain()["client"].values()) == [None]


class TestClientOfOtherLines:
    """Lines that must not be asked who the client is, because typed text stands before it."""

    def test_a_header_check_has_the_client_of_its_queue_id(self, log: Log) -> None:
        log.write("A1B2C3D: client=unknown[192.0.2.1]")
        log.write(
            "A1B2C3D: reject: header Subject: x from y[203.0.113.9]; from=<q>: z from unknown[192.0.2.1]; from=<a> "
            "to=<b> proto=ESMTP helo=<c>: 5.7.1 no",
            daemon="cleanup",
        )
        event = log.one(ContentAction)
        assert ip_of(event) == "192.0.2.1"

    def test_a_message_that_is_too_large_has_the_client_of_its_queue_id(self, log: Log) -> None:
        log.write("A1B2C3D: client=unknown[192.0.2.1]")
        log.write("warning: A1B2C3D: queue file size limit exceeded")
        event = log.one(Rejected)
        assert (ip_of(event), event.category) == ("192.0.2.1", "size")

    def test_the_verdict_of_a_proxy_has_the_client_of_its_session(self, log: Log) -> None:
        log.write("connect from unknown[192.0.2.1]", pid=7)
        log.write("connect from unknown[192.0.2.2]", pid=8)
        log.write("proxy-reject: END-OF-MESSAGE: 550 5.7.1 spam; from=<a@b> to=<c@d> proto=ESMTP helo=<x>", pid=7)
        event = log.one(ProxyVerdict)
        assert ip_of(event) == "192.0.2.1"

    def test_a_line_that_says_itself_that_it_is_a_part_is_no_event(self, log: Log) -> None:
        log.write(
            "warning: to avoid this condition, increase the process count in master.cf or reduce the service time per "
            "client",
            daemon="master",
        )
        assert not [event for event in log.finished if event.kind == "service_health"]
