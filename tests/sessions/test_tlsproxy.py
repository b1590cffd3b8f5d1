"""tlsproxy: the library's words stand before the failed handshake, and many clients share one process."""

import pytest

from pfwatch.events import TlsDetail, TlsFailed
from tests.sessions.lines import Log, ip_of

NO_CIPHER = "warning: TLS library problem: error:0A0000C1:SSL routines::no shared cipher:../ssl/x.c:2361:"
TOO_LOW = "warning: TLS library problem: error:0A00018C:SSL routines::version too low:../ssl/x.c:1780:"
STRANGE = "warning: TLS library problem: error:00000001:lib(0)::reason(1):x.c:1:"


class Proxy(Log):
    """A log of tlsproxy."""

    def say(self, body: str, *, pid: int = 1, second: int = 0) -> None:
        self.write(body, daemon="tlsproxy", pid=pid, second=second)


@pytest.fixture
def log() -> Proxy:
    return Proxy()


def failed(ip: str, service: str = "smtpd") -> str:
    return f"TLS handshake failed for service={service} peer=[{ip}]:22993"


def test_the_words_before_a_failed_handshake_are_its_error_and_it_waits_for_nothing(log: Proxy) -> None:
    log.say(NO_CIPHER)
    assert log.finished == []
    log.say(failed("192.0.2.1"))
    assert log.failures() == [("192.0.2.1", "no_shared_cipher")]
    assert "no shared cipher" in log.one(TlsFailed).reason
    assert log.sessions.watch == set()


def test_the_words_are_a_part_of_the_failure_and_no_event_of_their_own(log: Proxy) -> None:
    log.say(NO_CIPHER)
    assert log.last().envelope.part_of == "tls_failed"
    log.say(failed("192.0.2.1"))
    log.end()
    assert [event.kind for event in log.finished] == ["tls_failed"]


def test_the_line_of_the_failure_shows_its_error_at_once(log: Proxy) -> None:
    log.say(NO_CIPHER)
    log.say(failed("192.0.2.1"))
    event = log.last()
    assert isinstance(event, TlsFailed)
    assert event.error == "no_shared_cipher"


def test_a_failure_without_words_before_it_is_finished_at_once(log: Proxy) -> None:
    log.say(failed("192.0.2.1"))
    assert log.failures() == [("192.0.2.1", "other")]


def test_words_behind_a_failure_belong_to_the_next_one(log: Proxy) -> None:
    log.say(failed("192.0.2.1"))
    log.say(NO_CIPHER)
    log.say(failed("192.0.2.2"))
    assert log.failures() == [("192.0.2.1", "other"), ("192.0.2.2", "no_shared_cipher")]


def test_words_belong_to_nobody_when_another_line_of_the_process_comes_between(log: Proxy) -> None:
    log.say(NO_CIPHER)
    log.say("DISCONNECT [192.0.2.9]:4711")
    log.say(failed("192.0.2.1"))
    detail, _, failure = log.finished
    assert isinstance(detail, TlsDetail)
    assert (detail.client, detail.envelope.part_of) == (None, None)
    assert isinstance(failure, TlsFailed)
    assert (failure.error, failure.reason) == ("other", "")


def test_lines_of_other_processes_do_not_come_between(log: Proxy) -> None:
    log.say(NO_CIPHER, pid=1)
    log.say(TOO_LOW, pid=2)
    log.write("connect from unknown[192.0.2.9]", pid=1)
    log.say(failed("192.0.2.2"), pid=2)
    log.say(failed("192.0.2.1"), pid=1)
    assert log.failures() == [("192.0.2.2", "unsupported_protocol"), ("192.0.2.1", "no_shared_cipher")]


def test_of_several_words_the_first_that_is_known_counts(log: Proxy) -> None:
    for words in (STRANGE, NO_CIPHER, TOO_LOW):
        log.say(words)
    log.say(failed("192.0.2.1"))
    log.end()
    assert log.failures() == [("192.0.2.1", "no_shared_cipher")]
    assert len(log.finished) == 1


def test_words_that_nothing_follows_are_an_event_after_a_while(log: Proxy) -> None:
    log.say(NO_CIPHER)
    assert log.sessions.waiting_since() == 1_795_341_180.0
    log.write("warning: unknown[192.0.2.9]: SASL LOGIN authentication failed: x", second=5)
    assert [event.kind for event in log.finished] == ["auth_failed"]
    log.write("warning: unknown[192.0.2.9]: SASL LOGIN authentication failed: x", second=6)
    assert [event.kind for event in log.finished] == ["auth_failed", "tls_detail", "auth_failed"]
    assert log.finished[1].envelope.part_of is None
    assert log.sessions.waiting_since() == float("inf")


def test_endless_words_are_not_kept(log: Proxy) -> None:
    for _ in range(100):
        log.say(STRANGE)
    assert len(log.finished) == 84
    log.say(failed("192.0.2.1"))
    assert [event.kind for event in log.finished[84:]] == ["tls_failed"]


def test_an_outbound_handshake_has_its_words_too(log: Proxy) -> None:
    log.say(NO_CIPHER)
    log.say("TLS handshake failed for service=smtp peer=mx.example.net[198.51.100.4]:25")
    event = log.one(TlsFailed)
    assert (event.direction, event.peer_ip, event.error) == ("outbound", "198.51.100.4", "no_shared_cipher")


def test_a_failed_accept_waits_for_its_words_as_in_smtpd(log: Proxy) -> None:
    log.say("SSL_accept error from [192.0.2.1]:22993: -1")
    assert log.finished == []
    log.say(NO_CIPHER)
    log.say("DISCONNECT [192.0.2.1]:22993")
    assert log.failures() == [("192.0.2.1", "no_shared_cipher")]


def test_a_timed_out_stream_keeps_the_client_that_its_own_line_names(log: Proxy) -> None:
    log.say("warning: ciphertext read/write timeout for [192.0.2.9]:22993")
    log.say(failed("192.0.2.1"))
    assert ip_of(log.one(TlsDetail)) == "192.0.2.9"
    assert log.failures() == [("192.0.2.1", "other")]


def test_a_session_of_smtpd_is_nothing_to_tlsproxy(log: Proxy) -> None:
    log.write("connect from unknown[192.0.2.9]", pid=1)
    log.say(NO_CIPHER, pid=1)
    log.end()
    assert log.one(TlsDetail).client is None
