"""What Postfix says twice or three times of one thing is one event; the other lines are parts of it."""

import pytest

from pfwatch.events import Event, Rejected, ServiceHealth
from pfwatch.parsing.grammar import every_rule
from pfwatch.sessions.trouble import FOLLOW_UPS
from tests.sessions.lines import Log, ip_of

TOO_LARGE = "warning: A1B2C3D: queue file size limit exceeded"
CLOSE_ERROR = "warning: mail_stream_cleanup: close error"
DISK_FULL = "warning: A1B2C3D: write queue file: No space left on device"
ASKED = "warning: problem talking to server 127.0.0.1:9998: Connection refused"
UNAVAILABLE = "warning: hash:/etc/postfix/access is unavailable. open database /etc/postfix/access.db: No such file"
LOOKUP_ERROR = 'warning: hash:/etc/postfix/access lookup error for "alice@example.org"'


@pytest.fixture
def log() -> Log:
    return Log()


def kinds(log: Log) -> list[str]:
    return [event.kind for event in log.finished]


def part_of(event: Event) -> str | None:
    return event.envelope.part_of


class TestTooLarge:
    """A message beyond the size limit: smtpd, cleanup or both say so."""

    def test_all_three_lines_are_one_rejection_of_the_client(self, log: Log) -> None:
        log.write("A1B2C3D: client=unknown[192.0.2.1]", pid=7)
        log.write(TOO_LARGE, pid=7)
        log.write(TOO_LARGE, daemon="cleanup", pid=8)
        assert part_of(log.last()) == "rejected"
        log.write(CLOSE_ERROR, daemon="cleanup", pid=8)
        assert part_of(log.last()) == "rejected"
        event = log.one(Rejected)
        assert kinds(log) == ["rejected"]
        assert (ip_of(event), event.category, event.envelope.daemon) == ("192.0.2.1", "size", "smtpd")

    def test_cleanup_may_say_nothing_but_that_it_could_not_close(self, log: Log) -> None:
        log.write(TOO_LARGE)
        log.write(CLOSE_ERROR, daemon="cleanup", pid=8)
        assert kinds(log) == ["rejected"]

    def test_where_smtpd_says_nothing_the_first_line_of_cleanup_is_the_event(self, log: Log) -> None:
        log.write("A1B2C3D: client=unknown[192.0.2.1]", pid=7)
        log.write(TOO_LARGE, daemon="cleanup", pid=8)
        log.write("B1B2C3D: message-id=<x@example.org>", daemon="cleanup", pid=9)
        log.write(CLOSE_ERROR, daemon="cleanup", pid=8)
        assert kinds(log) == ["rejected"]
        assert ip_of(log.one(Rejected)) == "192.0.2.1"

    def test_smtpd_behind_cleanup_is_the_part(self, log: Log) -> None:
        log.write(TOO_LARGE, daemon="cleanup", pid=8)
        log.write(TOO_LARGE, pid=7)
        assert part_of(log.last()) == "rejected"
        assert log.one(Rejected).envelope.daemon == "cleanup"

    def test_two_messages_at_a_time_are_two_rejections(self, log: Log) -> None:
        for queue_id, pid in (("A1B2C3D", 7), ("B1B2C3D", 8)):
            log.write(f"warning: {queue_id}: queue file size limit exceeded", pid=pid)
        log.write(CLOSE_ERROR, daemon="cleanup", pid=20)  # of one that cleanup says nothing else of
        log.write("warning: A1B2C3D: queue file size limit exceeded", daemon="cleanup", pid=21)
        log.write(CLOSE_ERROR, daemon="cleanup", pid=21)
        assert kinds(log) == ["rejected", "rejected"]

    def test_before_a_queue_file_is_open_the_session_knows_the_client(self, log: Log) -> None:
        log.write("connect from unknown[192.0.2.1]")
        log.write("warning: NOQUEUE: queue file size limit exceeded")
        assert ip_of(log.one(Rejected)) == "192.0.2.1"

    def test_a_queue_id_that_is_used_again_is_another_message(self, log: Log) -> None:
        log.write(TOO_LARGE)
        log.write("A1B2C3D: client=unknown[192.0.2.2]")
        log.write(TOO_LARGE)
        assert [ip_of(event) for event in log.finished] == [None, "192.0.2.2"]

    def test_a_slow_client_does_not_make_cleanup_look_broken(self, log: Log) -> None:
        log.write(TOO_LARGE)
        log.write(CLOSE_ERROR, daemon="cleanup", pid=8, second=300)
        assert kinds(log) == ["rejected"]

    def test_every_rejection_explains_one_close_error(self, log: Log) -> None:
        log.write(TOO_LARGE)
        log.write(CLOSE_ERROR, daemon="cleanup", pid=8)
        log.write(CLOSE_ERROR, daemon="cleanup", pid=8)
        assert kinds(log) == ["rejected", "service_health"]

    def test_a_rejection_on_another_host_explains_nothing(self, log: Log) -> None:
        log.write(TOO_LARGE, host="mx2")
        log.write(CLOSE_ERROR, daemon="cleanup")
        assert kinds(log) == ["rejected", "service_health"]


class TestClose:
    """cleanup could not close a queue file, and nobody's message was too large."""

    def test_alone_it_is_an_event(self, log: Log) -> None:
        log.write(CLOSE_ERROR, daemon="cleanup")
        assert log.one(ServiceHealth).problem == "queue_write"
        assert part_of(log.last()) is None

    def test_behind_a_full_disk_it_is_a_part_of_that(self, log: Log) -> None:
        log.write("warning: B1B2C3D: queue file size limit exceeded")  # another's
        log.write(DISK_FULL, daemon="cleanup", pid=8)
        log.write(CLOSE_ERROR, daemon="cleanup", pid=8)
        assert part_of(log.last()) == "service_health"
        assert log.one(ServiceHealth).problem == "disk_full"

    def test_the_disk_of_another_process_explains_nothing(self, log: Log) -> None:
        log.write(DISK_FULL, daemon="cleanup", pid=8)
        log.write(CLOSE_ERROR, daemon="cleanup", pid=9)
        assert kinds(log) == ["service_health", "service_health"]


class TestAskedTwice:
    """Postfix asks a server that does not answer once more."""

    @pytest.mark.parametrize(("times", "events"), [(1, 1), (2, 1), (3, 2), (4, 2)])
    def test_each_pair_is_one_event(self, log: Log, times: int, events: int) -> None:
        for second in range(times):
            log.write("warning: connect to 127.0.0.1:9998: Connection refused", second=second)
            log.write(ASKED, second=second)
        assert kinds(log) == ["service_health"] * events

    def test_the_second_says_what_it_is_part_of(self, log: Log) -> None:
        log.write(ASKED)
        log.write(ASKED, second=1)
        assert part_of(log.last()) == "service_health"

    @pytest.mark.parametrize("other", [{"second": 6}, {"pid": 2}, {"host": "mx2"}], ids=["later", "process", "host"])
    def test_another_time_or_process_is_another_event(self, log: Log, other: dict[str, int]) -> None:
        log.write(ASKED)
        log.write(ASKED, **other)  # type: ignore[arg-type]
        assert kinds(log) == ["service_health", "service_health"]

    def test_another_server_is_another_event(self, log: Log) -> None:
        log.write(ASKED)
        log.write("warning: problem talking to server 127.0.0.1:9999: Connection refused")
        assert kinds(log) == ["service_health", "service_health"]


class TestTables:
    """A table that is not there is named by two layers of the same process."""

    @pytest.mark.parametrize(
        "second",
        [LOOKUP_ERROR, "warning: virtual_alias_domains: hash:/etc/postfix/access: table lookup problem"],
    )
    def test_the_second_layer_is_a_part(self, log: Log, second: str) -> None:
        log.write(UNAVAILABLE)
        log.write(second)
        assert part_of(log.last()) == "service_health"
        assert kinds(log) == ["service_health"]

    def test_every_lookup_is_an_event(self, log: Log) -> None:
        for _ in range(3):
            log.write(UNAVAILABLE)
            log.write(LOOKUP_ERROR)
        assert kinds(log) == ["service_health"] * 3

    def test_a_lookup_error_alone_or_of_another_table_is_an_event(self, log: Log) -> None:
        log.write(LOOKUP_ERROR)
        log.write(UNAVAILABLE)
        log.write('warning: hash:/etc/postfix/other lookup error for "alice@example.org"')
        assert kinds(log) == ["service_health"] * 3


class TestCyrus:
    """Cyrus speaks without an address."""

    DETAIL = "warning: SASL authentication failure: Password verification failed"

    def test_in_smtpd_it_is_a_part_of_the_failure_that_follows(self, log: Log) -> None:
        log.write(self.DETAIL)
        assert part_of(log.last()) == "auth_failed"
        assert log.finished == []

    @pytest.mark.parametrize("daemon", ["smtp", "lmtp"])
    def test_in_a_client_it_is_about_our_own_login(self, log: Log, daemon: str) -> None:
        log.write("warning: SASL authentication failure: No worthy mechs found", daemon=daemon)
        assert part_of(log.last()) is None
        assert kinds(log) == ["auth_detail"]

    def test_a_part_of_our_own_outage_stays_one(self, log: Log) -> None:
        log.write("warning: SASL per-process initialization failed: generic failure")
        assert part_of(log.last()) == "auth_backend_failed"
        assert log.finished == []


def test_every_rule_that_is_followed_exists() -> None:
    names = {*FOLLOW_UPS, *(name for first in FOLLOW_UPS.values() for name in first), "queue-write"}
    assert names <= every_rule().keys()
