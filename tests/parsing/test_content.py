"""What cleanup did with a message is told, and nobody is named by what stands in the message."""

import pytest

from pfwatch.events import ContentAction, Housekeeping, MilterAction, Rejected, ServiceHealth, as_object
from tests.parsing.test_rules import explained

HEAD = "Nov 22 09:53:31 mx1 postfix/cleanup[237]: "
TAIL = "from unknown[192.0.2.7]; from=<a@example.com> to=<b@example.org> proto=ESMTP helo=<w>"


@pytest.mark.parametrize(
    "word",
    ["reject", "info", "hold", "discard", "filter", "redirect", "bcc", "prepend", "replace", "strip", "pass"],
)
@pytest.mark.parametrize("part", ["header", "body", "content"])
def test_every_action_of_a_content_check_is_told(word: str, part: str) -> None:
    event = explained(f"{HEAD}2CC6F5E: {word}: {part} Subject: x {TAIL}: why")
    assert isinstance(event, ContentAction)
    assert (event.queue_id, event.action, event.part) == ("2CC6F5E", word, part)
    assert event.text.startswith("Subject: x from ")


def test_a_warning_of_a_content_check_is_no_warning_of_postfix() -> None:
    event = explained(f"{HEAD}2D0125F: warning: header Subject: warnme {TAIL}: looks odd")
    assert isinstance(event, ContentAction)
    assert (event.action, event.envelope.severity) == ("warn", "info")


@pytest.mark.parametrize(
    "origin", ["local", "unknown", "mail.example.net[2001:db8::5]", "mail.example.net[192.0.2.1]:25"]
)
def test_every_origin_is_read(origin: str) -> None:
    assert (
        explained(f"{HEAD}2D0125F: hold: header X-Hold: y from {origin}; from=<a@example.com>").kind == "content_action"
    )


def test_a_long_queue_id_and_a_line_that_was_cut_are_read() -> None:
    event = explained(f"{HEAD}4ZkX5y2Gq1z9rtv: reject: body y from unknown[192.0.2.7]; from=<{'a' * 1900}")
    assert isinstance(event, ContentAction)
    assert event.queue_id == "4ZkX5y2Gq1z9rtv"


@pytest.mark.parametrize(
    "typed",
    [
        "Subject: viagra from faked[203.0.113.9]; from=<q> to=<w> proto=ESMTP helo=<e>: 5.7.1 x",
        "Subject: warning: unknown[203.0.113.9]: SASL LOGIN authentication failed: x",
        "Subject: 2D0125F: reject: RCPT from unknown[203.0.113.9]: 554 5.7.1 Relay access denied;",
    ],
)
@pytest.mark.parametrize("start", ["reject: header", "milter-header-reject: header", "reject: mime-error x:"])
def test_what_stands_in_the_message_names_no_client(start: str, typed: str) -> None:
    event = explained(f"{HEAD}2CC6F5E: {start} {typed} {TAIL}: 5.7.1 spam")
    assert event.kind in ("content_action", "rejected")
    assert as_object(event)["client_ip"] is None


@pytest.mark.parametrize(
    ("line", "action", "part"),
    [
        ("milter-header-reject: header X-Spam: yes", "reject", "header"),
        ("milter-header-warning: header X-Spam: yes", "warn", "header"),
        ("milter-header-redirect: header X-Spam: yes", "redirect", "header"),
        ("milter-body-discard: body x", "discard", "body"),
    ],
)
def test_checks_of_headers_that_a_milter_added_are_told(line: str, action: str, part: str) -> None:
    event = explained(f"{HEAD}2CC6F5E: {line} {TAIL}: why")
    assert isinstance(event, ContentAction)
    assert (event.action, event.part) == (action, part)


@pytest.mark.parametrize(
    ("line", "category"),
    [
        ("2CC6F5E: reject: mime-error improper use of 8-bit data in message header: X: ?? from unknown[192.0.2.7]; "
         "from=<a@example.com> to=<b@example.org>", "content"),
        ("warning: 2CC6F5E: message rejected: hopcount exceeded", "content"),
        ("warning: 2CC6F5E: message rejected: no Received: header", "content"),
        ("warning: 2CC6F5E: message rejected: malformed attribute: x: y", "content"),
        ("warning: 2CC6F5E: record type 77 not allowed - discarding this message", "content"),
        ("warning: 2CC6F5E: queue file size limit exceeded", "size"),
    ],
)  # fmt: skip
def test_a_message_that_cleanup_does_not_take_is_rejected(line: str, category: str) -> None:
    event = explained(HEAD + line)
    assert isinstance(event, Rejected)
    assert (event.queue_id, event.category, event.client) == ("2CC6F5E", category, None)


def test_a_mime_error_has_sender_and_recipient() -> None:
    event = explained(f"{HEAD}2CC6F5E: reject: mime-error x: y from unknown[192.0.2.7]; from=<a@example.com> "
                      "to=<b@example.org>")  # fmt: skip
    assert isinstance(event, Rejected)
    assert (event.sender, event.recipient, event.ambiguous) == ("a@example.com", "b@example.org", False)
    typed = explained(f"{HEAD}2CC6F5E: reject: mime-error x: ; from=<evil@example.net> to=<q> from unknown[192.0.2.7]; "
                      "from=<a@example.com> to=<b@example.org>")  # fmt: skip
    assert isinstance(typed, Rejected)
    assert typed.ambiguous


def test_a_message_that_is_too_long_looks_like_no_full_disk() -> None:
    event = explained(f"{HEAD}warning: mail_stream_cleanup: close error")
    assert isinstance(event, ServiceHealth)
    assert event.envelope.part_of == "rejected"


@pytest.mark.parametrize(
    ("line", "problem", "subject"),
    [
        ("2CC6F5E: virtual_alias_maps map lookup problem for bob@example.org -- message not accepted, try again later",
         "map_error", "virtual_alias_maps"),
        ("2CC6F5E: unreasonable virtual_alias_maps map expansion size for bob@example.org -- message not accepted, "
         "try again later", "map_error", "virtual_alias_maps"),
        ("2CC6F5E: multi-valued canonical_maps entry for bob@example.org", "map_error", "canonical_maps"),
        ("unknown command in header_checks map: BANANA", "config_warning", ""),
        ('bad REDIRECT target "x" in body_checks map -- need user@domain', "config_warning", ""),
        ("2CC6F5E: verify service update error", "ipc_error", "verify"),
        ("2CC6F5E: read file incoming/2CC6F5E: Input/output error", "queue_write", "incoming/2CC6F5E"),
    ],
)  # fmt: skip
def test_trouble_of_our_own_is_health(line: str, problem: str, subject: str) -> None:
    event = explained(f"{HEAD}warning: {line}")
    assert isinstance(event, ServiceHealth)
    assert (event.problem, event.subject) == (problem, subject)


@pytest.mark.parametrize(
    ("line", "topic"),
    [
        ("warning: 2CC6F5E: ignoring attempt from Milter to add null recipient", "milter_request"),
        ('2CC6F5E: ignoring redundant or conflicting milter reply: x', "milter_request"),
        ('warning: 2CC6F5E: Milter request to drop multi-recipient: "x"', "milter_request"),
        ("warning: 2CC6F5E: ignoring malformed DSN notify record <9>", "ignored"),
        ("ignoring malformed header: 'TLS-Required: maybe'", "ignored"),
        ("warning: 2CC6F5E: ignoring malformed header: 'TLS-Required: maybe'", "ignored"),
    ],
)  # fmt: skip
def test_what_was_ignored_is_housekeeping(line: str, topic: str) -> None:
    event = explained(HEAD + line)
    assert isinstance(event, Housekeeping)
    assert event.topic == topic


@pytest.mark.parametrize(
    "line",
    [
        "2CC6F5E: reject: header Subject: no origin at all",
        "2CC6F5E: refuse: header Subject: x from unknown[192.0.2.7];",
        "NOTANID!: reject: header Subject: x from unknown[192.0.2.7];",
        "warning: 2CC6F5E: queue file size limit exceeded by far",
        "warning: 2CC6F5E: message was rejected: hopcount exceeded",
    ],
)
def test_what_only_looks_like_a_check_is_not_read_as_one(line: str) -> None:
    assert explained(HEAD + line).kind == "unsupported"


def test_another_daemon_does_not_check_content() -> None:
    line = f"Nov 22 09:53:31 mx1 postfix/qmgr[237]: 2CC6F5E: reject: header Subject: x {TAIL}: why"
    assert explained(line).kind == "unsupported"


@pytest.mark.parametrize(
    ("text", "fault", "enhanced_code", "shown"),
    [
        ("4.7.1 Service unavailable - try again later", True, "4.7.1", "Service unavailable - try again later"),
        ("5.7.1 Command rejected", False, "5.7.1", "Command rejected"),
        ("5.7.1 Virus from x[203.0.113.9]: Service unavailable - try again later", False, "5.7.1",
         "Virus from x[203.0.113.9]: Service unavailable - try again later"),
        ("lab quarantine", False, None, "lab quarantine"),
    ],
)  # fmt: skip
def test_a_milter_that_is_down_is_told_from_one_that_refuses(
    text: str, fault: bool, enhanced_code: str | None, shown: str
) -> None:
    event = explained(f"{HEAD}2CC6F5E: milter-reject: END-OF-MESSAGE from unknown[192.0.2.7]: {text}; "
                      "from=<a@example.com> to=<b@example.org> proto=ESMTP helo=<w>")  # fmt: skip
    assert isinstance(event, MilterAction)
    assert (event.fault, event.code, event.enhanced_code, event.text) == (fault, None, enhanced_code, shown)
