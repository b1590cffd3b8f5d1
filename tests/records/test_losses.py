"""What rsyslog and the journal say that they dropped is read from their own lines, and from nobody else's."""

from datetime import UTC

import pytest

from pfwatch.pipeline import Pipeline, Settings
from pfwatch.records.losses import read_losses
from pfwatch.records.time import TimeReader

BSD, ISO = "Oct 19 19:56:07 mx1 ", "2026-10-19T19:56:07.123456+00:00 mx1 "
NOON = 1_792_440_000.0  # 2026-10-19 20:00 UTC


def losses(text: str) -> list[tuple[str, int | None]]:
    times = TimeReader(UTC)
    times.expect(NOON)
    return [(loss.text, loss.lines) for loss in read_losses(text.encode("latin-1"), times)]


TOLD = [
    ("rsyslogd: imjournal: 4711 messages lost due to rate-limiting (20000 allowed within 600 seconds)", 4711),
    ("rsyslogd: imuxsock[pid 2309]: begin to drop messages due to rate-limiting", None),
    ("rsyslogd: imuxsock[pid 2309]: 12 messages lost due to rate-limiting", 12),
    ("rsyslogd[417]: imuxsock[pid 2309] from <mx1:postfix/smtpd>: begin to drop messages due to rate-limiting", None),
    ("rsyslogd: imuxsock[pid 7]: 9 messages lost due to rate-limiting (200 allowed within 5 seconds)", 9),
    (
        "rsyslogd: imjournal from <mx1:postfix/smtp>: begin to drop messages due to rate-limiting "
        "[v8.2504.0 try https://www.rsyslog.com/e/2177 ]",
        None,
    ),
    (  # as rsyslog 8.2302 wrote it
        "rsyslogd-2177: imuxsock[pid: 15680, name: /usr/lib/postfix/sbin/smtpd] from <mx1:postfix>: begin to drop "
        "messages due to rate-limiting",
        None,
    ),
    (
        "rsyslogd-2177: imuxsock[pid: 15680, name: /usr/lib/postfix/sbin/smtpd]: 17 messages lost due to "
        "rate-limiting (3 allowed within 2 seconds)",
        17,
    ),
    ("rsyslogd-2177: imuxsock begins to drop messages from pid 2309 due to rate-limiting", None),
    ("rsyslogd-2177: imuxsock lost 3056 messages from pid 2309 due to rate-limiting", 3056),
    ("rsyslogd: imudp: 44 messages lost due to rate-limiting (1000 allowed within 5 seconds)", 44),
    ("systemd-journald[241]: Suppressed 1016 messages from postfix@-.service", 1016),
    ("systemd-journald[241]: Suppressed 1016 messages from /system.slice/postfix.service", 1016),
    ("journal: Suppressed 8 messages from /system.slice/postfix.service", 8),
    ("systemd-journal[241]: Suppressed 8 messages from postfix.service", 8),
    ("systemd-journald[241]: Forwarding to syslog missed 23 messages.", 23),
]
FORMS = {
    "bsd": BSD,
    "rfc3339": ISO,
    "wire": "<46>" + BSD,
    "unix": "1792439767.123456 mx1 ",
    "full": "Mon 2026-10-19 19:56:07 UTC mx1 ",
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("body", "lines"), TOLD)
def test_a_line_about_dropped_messages_is_a_loss(body: str, lines: int | None, form: str) -> None:
    ((text, number),) = losses(f"{BSD}x: before\n{FORMS[form]}{body}\n{BSD}y: after\n")
    assert number == lines
    assert text.startswith("2026-10-19T19:56:07")
    assert lines is None or str(lines) in text


def test_the_form_of_rfc_5424_is_read_as_well() -> None:
    line = "<46>1 2026-10-19T19:56:07Z mx1 rsyslogd - - - imjournal: 5 messages lost due to rate-limiting\n"
    assert [lines for _, lines in losses(line)] == [5]


REAL = "imuxsock[pid 7]: 9 messages lost due to rate-limiting (200 allowed within 5 seconds)"


@pytest.mark.parametrize(
    "line",
    [
        # typed by a client as its HELO name, its sender, its account
        f"{BSD}postfix/smtpd[9]: NOQUEUE: reject: RCPT from unknown[192.0.2.7]: 554 5.7.1 <x>: Relay access denied; "
        f"from=<a> to=<x> proto=ESMTP helo=<{BSD}rsyslogd: {REAL}>",
        f"{BSD}postfix/smtpd[9]: warning: unknown[192.0.2.7]: SASL LOGIN authentication failed: , "
        f"sasl_username=rsyslogd: {REAL}",
        f"{BSD}postfix/smtpd[9]: {REAL}",
        f"{BSD}dovecot: {REAL}",
        f"{BSD}rsyslogd-evil: {REAL}",
        f"{BSD}rsyslogd2: {REAL}",
        f"{BSD}x rsyslogd: {REAL}",
        f"rsyslogd: {REAL}",
        # a host name or program that a sender to rsyslog's own port chose, within the line that rsyslog writes of it
        f"{BSD}rsyslogd: imudp from <mx1:x>: 999 messages lost due to rate-limiting (1 allowed within 1 seconds)>: "
        "begin to drop messages, said he",
        f"{BSD}rsyslogd: imudp from <imudp: 999 messages lost due to rate-limiting>: something else",
        f"{BSD}rsyslogd: {REAL} and more",
        f"{BSD}rsyslogd: imuxsock[pid 7]: 99999999999 messages lost due to rate-limiting",
        # of another program or service, of the kernel, of nothing
        f"{BSD}rsyslogd-2177: imuxsock[pid: 7, name: /usr/bin/python3]: 17 messages lost due to rate-limiting",
        f"{BSD}systemd-journald[241]: Suppressed 1016 messages from sshd.service",
        f"{BSD}systemd-journald[241]: Missed 12 kernel messages",
        f"{BSD}rsyslogd: action 'x' resumed, no messages lost",
        "Feb 30 19:56:07 mx1 rsyslogd: imuxsock[pid 7]: 9 messages lost due to rate-limiting",
    ],
)
def test_nobody_else_can_write_such_a_line(line: str) -> None:
    assert losses(line + "\n") == []


def test_a_typed_program_name_does_not_change_the_number() -> None:
    begin = (
        "imudp from <mx1:x>: 999 messages lost due to rate-limiting (1>: begin to drop messages due to rate-limiting"
    )
    assert [lines for _, lines in losses(f"{BSD}rsyslogd: {begin}\n")] == [None]


def test_the_lines_stay_foreign_and_are_counted_as_losses() -> None:
    pipeline = Pipeline(Settings(zone=UTC))
    block = f"{BSD}postfix/smtpd[9]: connect from unknown[192.0.2.7]\n" + "".join(f"{BSD}{body}\n" for body, _ in TOLD)
    outcome = pipeline.feed(block.encode(), "log", NOON)
    assert outcome.tally is not None
    assert (outcome.tally.tallied, outcome.tally.foreign) == (1, len(TOLD))
    assert [loss.lines for loss in outcome.losses] == [lines for _, lines in TOLD]
    assert {loss.at for loss in outcome.losses} == {1_792_439_767.0}
    counters = pipeline.counters.shown().counters
    assert counters["pfwatch_losses_total"]["log", "rate_limited"] == len(TOLD)
    assert counters["pfwatch_lines_missed_total"]["log", "rate_limited"] == sum(lines or 0 for _, lines in TOLD)


def test_wherever_the_log_is_cut_the_losses_are_the_same() -> None:
    rows = [f"{BSD}{body}\n".encode() for body, _ in TOLD]
    whole, pieces = Pipeline(Settings(zone=UTC)), Pipeline(Settings(zone=UTC))
    together = whole.feed(b"".join(rows), "log", NOON).losses
    assert [loss for row in rows for loss in pieces.feed(row, "log", NOON).losses] == together
