"""Every form in which a record begins is read as the same record; what is no record is said to be none."""

from datetime import UTC

import pytest

from pfwatch.events import AuthFailed, ClientConnected, Event, Foreign, Malformed, ServiceHealth, Unsupported, as_object
from pfwatch.parsing.scanner import Scanner
from pfwatch.records.header import PROGRAMS, postfix_tag
from pfwatch.records.time import TimeReader
from pfwatch.sessions import Sessions
from tests.samples.logs import REFERENCE, read

BODY = b"connect from unknown[192.0.2.9]"
TAG = b"mx1 postfix/submission/smtpd[229]: "
AUTH = b"warning: unknown[192.0.2.9]: SASL LOGIN authentication failed: x, sasl_username=alice"

FORMS = {
    "BSD": b"Nov 22 09:53:31 " + TAG,
    "BSD of journalctl short-precise": b"Nov 22 09:53:31.123456 " + TAG,
    "RFC 3339 with Z": b"2026-11-22T09:53:31.123Z " + TAG,
    "RFC 3339 with an offset": b"2026-11-22T09:53:31.123456+00:00 " + TAG,
    "RFC 3339 of another zone": b"2026-11-22T10:53:31+01:00 " + TAG,
    "RFC 3339 with an offset without a colon": b"2026-11-22T09:53:31+0000 " + TAG,
    "RFC 3339 without a fraction": b"2026-11-22T09:53:31Z " + TAG,
    "RFC 3339 with a comma": b"2026-11-22T09:53:31,123456Z " + TAG,
    "RFC 3339 without a zone": b"2026-11-22T09:53:31 " + TAG,
    "RFC 5424": b"<22>1 2026-11-22T09:53:31.123456Z mx1 postfix/submission/smtpd 229 - - ",
    "RFC 5424 with structured data": b"<22>1 2026-11-22T09:53:31Z mx1 postfix/submission/smtpd 229 ID47 "
    rb'[exampleSDID@32473 iut="3" quoted="a \"]\" b"][other@1 x="y"] ',
    "RFC 5424 with a byte order mark": b"<22>1 2026-11-22T09:53:31Z mx1 postfix/submission/smtpd 229 - - \xef\xbb\xbf",
    "journalctl short-unix": b"1795341211.123456 " + TAG,
    "journalctl short-full": b"Sun 2026-11-22 09:53:31 UTC " + TAG,
    "the wire, BSD": b"<22>Nov 22 09:53:31 " + TAG,
    "the wire, RFC 3339": b"<22>2026-11-22T09:53:31Z " + TAG,
}


def only(log: bytes) -> Event:
    events, tally = read(log)
    assert tally.total == len(events) == 1
    return events[0]


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_the_same_record(form: str) -> None:
    event = only(FORMS[form] + BODY + b"\n")
    assert isinstance(event, ClientConnected)
    envelope = event.envelope
    assert int(envelope.at) == 1_795_341_211
    assert (envelope.host, envelope.service, envelope.daemon) == ("mx1", "postfix/submission", "smtpd")
    assert envelope.pid == 229
    assert event.client.ip == "192.0.2.9"


@pytest.mark.parametrize("day", [b"Nov  3", b"Nov 03"])
def test_the_day_is_padded_with_a_blank_or_a_zero(day: bytes) -> None:
    assert only(day + b" 09:53:31 " + TAG + BODY + b"\n").envelope.stamp == "2026-11-03T09:53:31+00:00"


def test_forms_may_be_mixed_in_one_input_in_any_order() -> None:
    heads = list(FORMS.values())
    order = [*heads, *reversed(heads), *heads[::2], *heads[1::2], *heads]
    events, tally = read(b"".join(head + BODY + b"\n" for head in order))
    assert tally.total == len(order)
    assert [event.kind for event in events] == ["client_connected"] * len(order)


def test_a_record_ends_with_cr_lf_or_lf() -> None:
    events, tally = read(b"\r\n".join(FORMS["BSD"] + BODY for _ in range(3)) + b"\r\n")
    assert tally.total == 3
    assert [as_object(event)["client_ip"] for event in events] == ["192.0.2.9"] * 3


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b" ",
        b"\0\0\0\0",
        b"\xff\xfe\xfd",
        b"connect from unknown[192.0.2.9]",
        b" Nov 22 09:53:31 " + TAG + BODY,
        b"\0\0Nov 22 09:53:31 " + TAG + BODY,
        b"Nov 22 09:53 " + TAG + BODY,
        b"nov 22 09:53:31 " + TAG + BODY,
        b"2026-11-22 09:53:31 " + TAG + BODY,
        b"<22>",
    ],
)
def test_a_line_without_a_header_is_malformed_and_the_next_one_is_read(line: bytes) -> None:
    (bad, good), tally = read(line + b"\n" + FORMS["BSD"] + BODY + b"\n")
    assert isinstance(bad, Malformed)
    assert isinstance(good, ClientConnected)
    assert tally.fates() | {"malformed": 1, "events": 1} == tally.fates()


@pytest.mark.parametrize("day", [b"Feb 30", b"Nov 31", b"Nov 00", b"Xyz 10"])
def test_a_day_that_no_calendar_has_is_malformed(day: bytes) -> None:
    assert isinstance(only(day + b" 09:53:31 " + TAG + AUTH + b"\n"), Malformed)
    events, tally = read(day + b" 09:53:31 " + TAG + AUTH + b"\n", every_event=False)
    assert (events, tally.malformed) == ([], 1)


def test_bytes_that_are_no_utf8_are_shown_as_escapes() -> None:
    event = only(FORMS["BSD"] + AUTH + b"\xff\xfe\n")
    assert isinstance(event, AuthFailed)
    assert event.username == r"alice\xff\xfe"


def test_a_nul_byte_in_a_name_stays_in_the_name() -> None:
    event = only(FORMS["BSD"] + AUTH + b"\0x\n")
    assert isinstance(event, AuthFailed)
    assert event.username == "alice\0x"


def test_typed_text_that_looks_like_a_header_begins_no_record() -> None:
    event = only(FORMS["BSD"] + AUTH + b" Nov 22 09:53:32 mx1 postfix/smtpd[1]: connect from unknown[203.0.113.9]\n")
    assert as_object(event)["client_ip"] == "192.0.2.9"


@pytest.mark.parametrize(("length", "truncated"), [(1999, False), (2000, True), (2100, True)])
def test_a_body_at_the_bytes_where_postfix_cuts_is_truncated(length: int, truncated: bool) -> None:
    event = only(FORMS["BSD"] + AUTH.ljust(length, b"a") + b"\n")
    assert isinstance(event, AuthFailed)
    assert event.envelope.truncated is truncated
    assert event.username is not None
    assert len(event.username) == 256


def test_severity_is_read_from_the_first_word_only() -> None:
    assert only(FORMS["BSD"] + b"warning: something new\n").envelope.severity == "warning"
    assert only(FORMS["BSD"] + b"fatal: something new\n").envelope.severity == "fatal"
    assert only(FORMS["BSD"] + b"warning signs: something new\n").envelope.severity == "info"
    assert only(FORMS["BSD"] + b"A1B2C3D: warning: header Subject: x\n").envelope.severity == "info"


@pytest.mark.parametrize(
    ("tag", "service", "daemon"),
    [
        (b"postfix/smtpd", "postfix", "smtpd"),
        (b"postfix-out/submission/smtpd", "postfix-out/submission", "smtpd"),
        (b"/postfix-script", "", "postfix-script"),
        (b"postfix", "postfix", "postfix"),
    ],
)
def test_a_tag_is_postfixs_when_it_ends_in_one_of_its_programs(tag: bytes, service: str, daemon: str) -> None:
    assert postfix_tag(tag) == (service, daemon)


@pytest.mark.parametrize("tag", [b"dovecot", b"smtpd", b"postfix/", b"postfix/evil", b"postfix/smtpd/x", b"/", b"a/b"])
def test_another_tag_is_foreign(tag: bytes) -> None:
    assert postfix_tag(tag) is None
    event = only(b"Nov 22 09:53:31 mx1 " + tag + b"[5]: " + BODY + b"\n")
    assert isinstance(event, Foreign)
    assert (event.envelope.service, event.envelope.daemon) == (None, tag.decode())


def test_a_postfix_tag_without_a_pid_is_foreign_because_postfix_always_writes_one() -> None:
    assert isinstance(only(b"Nov 22 09:53:31 mx1 postfix/smtpd: " + BODY + b"\n"), Foreign)
    assert isinstance(only(b"<22>1 2026-11-22T09:53:31Z mx1 postfix/smtpd - - - " + BODY + b"\n"), Foreign)


def test_a_daemons_line_under_the_bare_tag_postfix_says_that_the_tag_was_cut() -> None:
    events, tally = read(b"Nov 22 09:53:31 mx1 postfix[229]: " + BODY + b"\n")
    assert isinstance(events[0], Unsupported)
    assert tally.misnamed == 1


def test_a_line_of_the_postfix_command_is_postfixs_and_not_misnamed() -> None:
    text = b"Postfix is using backwards-compatible default settings"
    events, tally = read(b"Nov 22 09:53:31 mx1 postfix[1]: " + text + b"\n")
    assert isinstance(events[0], ServiceHealth)
    assert (events[0].envelope.service, events[0].envelope.daemon) == ("postfix", "postfix")
    assert tally.misnamed == 0


def test_every_program_of_postfix_has_a_name_without_a_slash() -> None:
    assert all("/" not in name and postfix_tag(f"postfix/{name}".encode()) for name in PROGRAMS)


class TestRepeats:
    """rsyslog's `message repeated` and the BSD syslogd's `last message repeated`."""

    line = FORMS["BSD"] + AUTH + b"\n"

    def test_message_repeated_weighs_as_often_as_it_says(self) -> None:
        once, more = read(self.line + FORMS["BSD"] + b"message repeated 11 times: [ " + AUTH + b"]\n")[0]
        assert isinstance(more, AuthFailed)
        assert (once.envelope.weight, more.envelope.weight) == (1, 11)
        assert more.username == "alice"
        assert more.envelope.rule == "smtpd-sasl-failed"

    def test_a_repeat_inside_a_repeat_is_not_believed(self) -> None:
        event = only(FORMS["BSD"] + b"message repeated 9 times: [ message repeated 9 times: [ " + AUTH + b"]]\n")
        assert isinstance(event, Unsupported)

    def test_last_message_repeated_is_the_record_before_it_again(self) -> None:
        log = self.line + b"Nov 22 09:53:40 mx1 last message repeated 4 times\n"
        _, again = read(log)[0]
        assert isinstance(again, AuthFailed)
        assert (again.envelope.weight, again.username) == (4, "alice")
        assert again.envelope.stamp == "2026-11-22T09:53:40+00:00"

    def test_last_message_repeated_may_have_no_host_and_dashes(self) -> None:
        _, again = read(self.line + b"Nov 22 09:53:40 --- last message repeated 2 times ---\n")[0]
        assert (again.kind, again.envelope.weight) == ("auth_failed", 2)

    def test_two_of_them_after_another_repeat_the_same_record(self) -> None:
        more = b"Nov 22 09:53:40 mx1 last message repeated 2 times\n"
        assert [event.kind for event in read(self.line + more + more)[0]] == ["auth_failed"] * 3

    def test_a_foreign_record_repeated_is_foreign(self) -> None:
        foreign = b"Nov 22 09:53:31 mx1 dovecot: auth: x\n"
        kinds = [
            event.kind
            for event in read(self.line + foreign + b"Nov 22 09:53:40 mx1 last message repeated 2 times\n")[0]
        ]
        assert kinds == ["auth_failed", "foreign", "foreign"]

    def test_nothing_before_it_makes_it_malformed(self) -> None:
        assert isinstance(only(b"Nov 22 09:53:40 mx1 last message repeated 4 times\n"), Malformed)

    def test_it_may_be_the_first_line_of_a_block(self) -> None:
        sessions = Sessions()
        scanner = Scanner(sessions, TimeReader(UTC))
        scanner.scan(self.line, REFERENCE)
        scanner.scan(b"Nov 22 09:53:40 mx1 last message repeated 4 times\n", REFERENCE)
        assert [event.envelope.weight for event in sessions.take()] == [1, 4]

    def test_it_may_be_the_first_line_after_a_restart(self) -> None:
        before = Scanner(Sessions(), TimeReader(UTC))
        before.scan(self.line, REFERENCE)
        sessions = Sessions()
        after = Scanner(sessions, TimeReader(UTC))
        after.restore(before.state())
        after.scan(b"Nov 22 09:53:40 mx1 last message repeated 4 times\n", REFERENCE)
        assert [event.envelope.weight for event in sessions.take()] == [4]

    @pytest.mark.parametrize(
        "repeat",
        [
            FORMS["BSD"] + b"message repeated 3 times: [ " + BODY + b"]\n",
            b"Nov 22 09:53:40 mx1 last message repeated 3 times\n",
        ],
    )
    def test_a_tallied_line_repeated_is_tallied_so_often(self, repeat: bytes) -> None:
        tally = read(FORMS["BSD"] + BODY + b"\n" + repeat, every_event=False)[1]
        assert tally.tallied == 2
        assert [sum(keys.values()) for keys in tally.counts.values()] == [1 + 3]

    def test_an_unbelievable_number_is_bounded(self) -> None:
        event = only(FORMS["BSD"] + b"message repeated 999999 times: [ " + AUTH + b"]\n")
        assert event.envelope.weight == 100_000
