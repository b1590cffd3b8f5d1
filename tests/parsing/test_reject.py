"""A refusal's words taken to pieces, also where a client typed the line's own punctuation."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pfwatch.events import CATEGORIES, AuthBackendFailed, Rejected, RelayDenied, as_object
from pfwatch.parsing.fragments import ADDRESS
from pfwatch.parsing.reject import category, read_reply
from tests.samples.logs import read

TAIL = b"; from=<a@example.com> to=<b@example.org> proto=ESMTP helo=<mail.example.com>"


def refusal(text: bytes) -> Rejected | RelayDenied:
    line = b"Nov 22 09:53:31 mx1 postfix/smtpd[229]: NOQUEUE: reject: RCPT from unknown[192.0.2.9]: " + text + b"\n"
    (event,), _ = read(line)
    assert isinstance(event, Rejected | RelayDenied)
    return event


def test_a_plain_refusal_has_all_its_parts() -> None:
    event = refusal(b"550 5.1.1 <b@example.org>: Recipient address rejected: User unknown in local table" + TAIL)
    assert isinstance(event, Rejected)
    assert (event.code, event.enhanced_code, event.temporary, event.category) == (550, "5.1.1", False, "unknown_user")
    assert (event.sender, event.recipient, event.helo) == ("a@example.com", "b@example.org", "mail.example.com")
    assert (event.proto, event.stage, event.ambiguous) == ("ESMTP", "RCPT", False)
    assert event.text == "<b@example.org>: Recipient address rejected: User unknown in local table"


def test_a_temporary_refusal_is_temporary() -> None:
    event = refusal(b"454 4.7.1 <b@example.org>: Relay access denied" + TAIL)
    assert isinstance(event, RelayDenied)
    assert event.temporary


@pytest.mark.parametrize(
    ("tail", "sender", "recipient"),
    [
        (b"; from=<> to=<b@example.org> proto=SMTP helo=<w>", "", "b@example.org"),
        (b"; from=<a@example.com> proto=ESMTP helo=<w>", "a@example.com", None),
        (b"; proto=SMTP helo=<w>", None, None),
        (b"", None, None),
        (b'; from=<"a> to=<x"@example.com> to=<b@example.org> proto=ESMTP helo=<w>', '"a> to=<x"@example.com', None),
        (
            b"; from=<a@example.com> to=<b@example.org> proto=ESMTP helo=<w> sasl_method=PLAIN sasl_username=<eve>",
            "a@example.com",
            "b@example.org",
        ),
    ],
)
def test_sender_and_recipient_come_from_the_tail(tail: bytes, sender: str | None, recipient: str | None) -> None:
    reply = read_reply(b"554 5.7.1 <x>: Helo command rejected: no" + tail)
    assert reply.sender == sender
    if recipient:
        assert reply.recipient == recipient


def test_a_tail_that_a_client_types_into_its_address_does_not_replace_the_true_one() -> None:
    typed = b'"; from=<ceo@example.org> to=<all@example.org> proto=ESMTP helo=<x>"@example.com'
    text = b"550 5.1.1 <" + typed + b">: Recipient address rejected: User unknown"
    event = refusal(text + b"; from=<eve@example.net> to=<" + typed + b"> proto=ESMTP helo=<eve.example.net>")
    assert isinstance(event, Rejected)
    assert event.sender == "eve@example.net"
    assert event.ambiguous
    assert event.client is not None
    assert event.client.ip == "192.0.2.9"


def test_relay_access_denied_inside_a_typed_address_is_no_relay_attempt() -> None:
    typed = b'"x: Relay access denied"@example.org'
    text = b"550 5.1.1 <" + typed + b">: Recipient address rejected: User unknown"
    event = refusal(text + b"; from=<a@example.com> to=<" + typed + b"> proto=ESMTP helo=<w>")
    assert isinstance(event, Rejected)
    assert event.category == "unknown_user"


@pytest.mark.parametrize(
    ("about", "expected"),
    [
        (b"Sender address rejected: User unknown in virtual alias table", "unknown_sender"),
        (b"Service unavailable; Client host [192.0.2.9] blocked using rbl.example.net", "rbl"),
        (b"Sender address rejected: not owned by user alice", "sender_mismatch"),
        (b"Client host rejected: cannot find your hostname, [192.0.2.9]", "client_dns"),
        (b"Helo command rejected: need fully-qualified hostname", "helo"),
        (b"Sender address rejected: need fully-qualified address", "syntax"),
        (b"Sender address rejected: Domain not found", "sender_domain"),
        (b"Recipient address rejected: Domain not found", "recipient_domain"),
        (b"Recipient address rejected: Greylisted, see http://example.org", "greylist"),
        (b"Message size exceeds fixed limit", "size"),
        (b"Insufficient system storage", "storage"),
        (b"Server configuration error", "configuration"),
        (b"Client host rejected: Access denied", "access"),
        (b"Client host rejected: go away", "policy"),
        (b"Whatever else", "other"),
    ],
)
def test_the_category_is_the_first_that_fits(about: bytes, expected: str) -> None:
    assert category(about) == expected
    assert expected in CATEGORIES


def test_a_category_word_inside_a_typed_address_does_not_decide() -> None:
    typed = b"greylist.blocked using@example.org"
    event = refusal(
        b"550 5.1.1 <" + typed + b">: Recipient address rejected: User unknown; from=<> to=<" + typed + b"> proto=SMTP"
    )
    assert isinstance(event, Rejected)
    assert event.category == "unknown_user"


def test_an_address_that_fills_the_reply_up_to_its_cut_decides_nothing() -> None:
    typed = b"a" * 480 + b": Relay access denied"  # Postfix cuts a reply at 510 bytes, here behind these words
    event = refusal(b"550 5.1.1 <" + typed + b"; from=<> to=<" + typed + b"@example.org> proto=SMTP helo=<w>")
    assert isinstance(event, Rejected)
    assert event.category == "other"
    event = refusal(b"550 5.1.1 <" + b"blocked using " * 30)
    assert isinstance(event, Rejected)
    assert event.category == "other"


@pytest.mark.parametrize(
    ("quoted", "plain"),
    [
        (b'"x>: bare <LF> received"@example.org', b"x>: bare <LF> received@example.org"),
        (b'"x>: User unknown \\" y"@example.org', b'x>: User unknown " y@example.org'),
    ],
)
def test_the_reply_has_the_address_without_the_quotes_of_the_tail(quoted: bytes, plain: bytes) -> None:
    event = refusal(
        b"554 5.7.1 <"
        + plain
        + b">: Recipient address rejected: Access denied; from=<> to=<"
        + quoted
        + b"> proto=SMTP"
    )
    assert isinstance(event, Rejected)
    assert (event.category, event.recipient) == ("access", quoted.decode())


@pytest.mark.parametrize("stage", ["CONNECT", "EHLO", "MAIL", "RCPT", "DATA", "END-OF-MESSAGE", "VRFY", "UNKNOWN"])
def test_a_refusal_without_a_tail(stage: str) -> None:
    line = f"Nov 22 09:53:31 mx1 postfix/smtpd[229]: NOQUEUE: reject: {stage} from unknown[192.0.2.9]: "
    (event,), _ = read(f"{line}421 4.3.0 mx1.example.org Server local data error\n".encode())
    assert isinstance(event, Rejected)
    assert (event.stage, event.code, event.category, event.sender) == (stage, 421, "configuration", None)
    assert event.temporary


def test_a_bare_line_feed_is_refused_without_a_code() -> None:
    event = refusal(b"bare <LF> received" + TAIL)
    assert isinstance(event, Rejected)
    assert (event.code, event.temporary, event.category, event.sender) == (None, None, "protocol", "a@example.com")


@pytest.mark.parametrize("tail", [b"", b" sasl_method=PLAIN sasl_username=eve", b" sasl_method=PLAIN sasl_username=eve "
                                  b"sasl_sender=x"])  # fmt: skip
def test_the_account_stands_at_the_end_since_3_10(tail: bytes) -> None:
    event = refusal(b"553 5.7.1 <a@example.com>: Sender address rejected: not owned by user eve" + TAIL + tail)
    assert isinstance(event, Rejected)
    assert (event.category, event.username) == ("sender_mismatch", "eve" if tail else None)


@pytest.mark.parametrize("wording", ["reject: ETRN", "bad ETRN"])
def test_etrn_is_refused_in_its_own_words(wording: str) -> None:
    line = f"Nov 22 09:53:31 mx1 postfix/smtpd[229]: warning: {wording} [203.0.113.9]... from unknown[192.0.2.9]\n"
    (event,), _ = read(line.encode())
    assert isinstance(event, Rejected)
    assert event.client is not None
    assert (event.stage, event.text, event.client.ip) == ("ETRN", "[203.0.113.9]...", "192.0.2.9")


def test_sasl_lines_of_cyrus_at_its_highest_level_show_no_password() -> None:
    line = b"Nov 22 09:53:31 mx1 postfix/smtpd[229]: SASL authentication pass: alice hunter2\n"
    (event,), _ = read(line)
    assert event.kind == "housekeeping"
    assert "hunter2" not in str(as_object(event))


@pytest.mark.parametrize("field", ["OK username", "reply", "CONT reply"])
def test_an_answer_of_dovecot_that_lacks_a_field_is_our_own_fault(field: str) -> None:
    line = f"Nov 22 09:53:31 mx1 postfix/smtpd[229]: warning: missing Dovecot server {field} field\n"
    (event,), _ = read(line.encode())
    assert isinstance(event, AuthBackendFailed)
    assert event.backend == "dovecot"


ONE_PATTERN = re.compile(
    rf"; (?:from=<(?P<sender>{ADDRESS}|.*?)>(?=,? (?:to=<|proto=)|\Z),? ?)??"
    rf"(?:to=<(?P<recipient>{ADDRESS}|.*)>(?=,? proto=|\Z),? ?)?"
    r"(?:proto=(?P<proto>E?SMTP),? ?)?(?:helo=<(?P<helo>.*?)>)?"
    r"(?: sasl_method=(?P<method>[^ ]*+))?(?: sasl_username=(?:<(?P<quoted>.*)>|(?P<username>.*?)))?"
    r"(?: sasl_sender=.*)?".encode()
    + rb"\Z",
    re.DOTALL,
)
"""The plain definition of a tail, which takes 20 ms for the worst."""
PIECES = (
    "; from=<", "from=<", "to=<", "> to=<", ">, to=<", "> proto=", ">, proto=ESMTP, helo=<", "> proto=SMTP helo=<",
    "> helo=<", " sasl_username=", " sasl_username=<", " sasl_method=", " sasl_sender=", "x", ">", '"', '"a>"@b', '">',
    "\\", " ", ",",
)  # fmt: skip


@given(st.lists(st.sampled_from(PIECES), max_size=14), st.sampled_from(("", ">", "> proto=ESMTP helo=<a>")))
@settings(max_examples=2000, deadline=None)
def test_a_tail_is_read_as_the_plain_definition_says(pieces: list[str], end: str) -> None:
    tail = "".join(("; from=<", *pieces, end))
    tail = tail[:8] + tail[8:].replace("; ", ";")  # else it would begin elsewhere
    found = ONE_PATTERN.match(tail.encode())
    fields = ("sender", "recipient", "helo", "proto", "username", "quoted")
    expected = [found[field].decode() if found and found[field] is not None else None for field in fields]
    *expected, username, quoted = expected
    reply = read_reply(f"554 5.7.1 no{tail}".encode())
    assert [reply.sender, reply.recipient, reply.helo, reply.proto] == expected
    assert reply.username == (username or quoted)
