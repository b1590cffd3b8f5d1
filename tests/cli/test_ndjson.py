"""Lines of hits are put together from texts; each is as its event would be written."""

from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pfwatch.cli import ndjson
from pfwatch.cli.composer import Composer as ComposerInPython
from pfwatch.cli.ndjson import JsonLines
from pfwatch.cli.selection import Selection
from pfwatch.events import AuthFailed, Event, RelayDenied, TlsFailed, as_object
from pfwatch.parsing.block import in_order, plain_forms
from pfwatch.parsing.fast import BUILT
from pfwatch.parsing.grammar import GRAMMAR
from pfwatch.parsing.hits import Hit, built, event_of
from pfwatch.parsing.log import LogReader
from pfwatch.sessions import Sessions
from pfwatch.sessions.needs import needed

REFERENCE = 1_700_000_000.0
_KINDS = frozenset(("auth_failed", "relay_denied", "tls_failed"))
_USED: type = vars(ndjson)["Composer"]
COMPOSERS = [pytest.param(_USED, id="compiled"), pytest.param(ComposerInPython, id="python")]
if not BUILT:
    COMPOSERS.pop(0)

ODD = (
    b"",
    b"a",
    b"alice@example.org",
    b"\\",
    b"\xff\xc3",
    "ü\u2028\x7f".encode(),
    b"\t\x01",
    b"x" * 300,
    b"[192.0.2.1]",
)
TYPED = st.one_of(st.sampled_from(ODD), st.binary(max_size=6)).map(lambda text: text.translate(None, b'\n\r<>"; '))
USERNAME = st.one_of(st.sampled_from(ODD), st.binary(max_size=6), st.just(b'"a", sasl_username=<b>; \\'))
REASONS = (b"UGFzc3dvcmQ6", b"authentication failure", b"x" * 1500, b"Invalid base64 data", b"")
CLIENTS = st.sampled_from((
    b"unknown[192.0.2.9]", b"a.example[2001:db8::1]:25", b"n" * 600 + b"[192.0.2.9]", b"a.example[2001:db8::1]",
    b"a[1:2:3:4:5:6::8]", b"a[1:2:3:4::5:6:7:8]", b"a[2001:DB8::1]", b"a[2001:db8::0001]", b"a[::ffff:192.0.2.9]",
    b"a[192.0.2.09]", b"a[192.0.2.256]", b"a[1.2.3.4.5]", b"a[unknown]", b"a[1:2::3::4]", b"a[1:0:2::3]", b"a[::1]",
))  # fmt: skip


@st.composite
def relay_attempts(draw: st.DrawFn) -> bytes:
    address = draw(st.sampled_from((b"", b"<%b>: "))).replace(b"%b", draw(TYPED))
    tail = b"%b 554 5.7.1 %bRelay access denied;" % (draw(CLIENTS) + b":", address)
    for name in (b"from", b"to"):
        if draw(st.integers(0, 3)):
            tail += b" %b=<%b>" % (name, draw(TYPED))
    tail += draw(st.sampled_from((b" proto=ESMTP helo=<%b>", b" proto=SMTP", b" proto=ESMTP helo=<%b>"))).replace(
        b"%b", draw(TYPED)
    )
    tail += draw(st.sampled_from((b"", b"", b" sasl_method=PLAIN sasl_username=alice")))
    return draw(st.sampled_from((b"NOQUEUE", b"4XyZ1234"))) + b": reject: RCPT from " + tail


@st.composite
def guesses(draw: st.DrawFn) -> bytes:
    reason = draw(
        st.sampled_from((b"UGFzc3dvcmQ6", b"authentication failure", b"x" * 1500, b"Invalid base64 data", b""))
    )
    name = draw(st.one_of(st.just(b""), USERNAME.map(lambda text: b", sasl_username=" + text)))
    return b"warning: %b: SASL LOGIN authentication failed: %b%b" % (
        draw(CLIENTS),
        reason,
        name.translate(None, b"\n\r"),
    )


@st.composite
def handshakes(draw: st.DrawFn) -> bytes:
    """A failure, which may wait for words, or words."""
    words = st.one_of(
        st.sampled_from(
            (b"error:0A000102:SSL routines::unsupported protocol:x.c:1657:", b'error:0A0000C1:SSL "\xff\\:')
        ),
        TYPED,
    )
    if draw(st.booleans()):
        return b"warning: TLS library problem: " + draw(words)
    return b"SSL_accept error from %b: %b" % (
        draw(CLIENTS),
        draw(st.one_of(st.sampled_from((b"-1", b"-1", b"0", b"lost connection", b"Connection timed out")), TYPED)),
    )


LINES = st.lists(
    st.tuples(st.one_of(relay_attempts(), guesses(), handshakes()), st.sampled_from((b"7", b"007", b"1" * 20))),
    max_size=30,
)
RELAY = (
    b"NOQUEUE: reject: RCPT from unknown[192.0.2.9]: 554 5.7.1 <%b>: Relay access denied; "
    b"from=<%b> to=<%b> proto=ESMTP helo=<%b>"
)


def read(lines: list[tuple[bytes, bytes]]) -> list[Event | Hit]:
    """The hits among some lines, two in each second."""
    sessions = Sessions()
    log = LogReader(sessions, UTC, 2023, wanted=needed(frozenset((AuthFailed, RelayDenied, TlsFailed))))
    log.read(
        b"".join(
            b"Nov 14 10:00:%02d mx1 postfix/smtpd[%b]: %b\n" % (number // 2 % 60, pid, body)
            for number, (body, pid) in enumerate(lines)
        ),
        REFERENCE,
    )
    sessions.finish()
    return [one for one in sessions.take_unbuilt() if isinstance(one, Hit)]


@pytest.mark.parametrize("composer", COMPOSERS)
@given(LINES)
@example([(RELAY % (one, two, one, two), b"7") for one in ODD for two in ODD if b"\\" not in one])
def test_a_line_is_as_its_event_is_written(composer: type, lines: list[tuple[bytes, bytes]]) -> None:
    hits = read(lines)
    selections = (
        Selection(frozenset(), (), (), None, None),
        Selection(_KINDS, ("192.0.2.0/24",), (), None, None),
        Selection(frozenset(("relay_denied",)), (), (), datetime(2023, 11, 14, 10, 0, 4, tzinfo=UTC), None),
        Selection(frozenset(), (), ("alice@example.org", "a"), None, None),
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ndjson, "Composer", composer)
        for selection in selections:
            expected = [
                msgspec.json.encode(as_object(event)) + b"\n" for event in map(built, hits) if selection.wants(event)
            ]
            written = JsonLines(selection)
            assert written.of(list(hits)) == b"".join(expected)
            assert written.of(list(hits)) == b"".join(expected)  # from what is remembered, too


@pytest.mark.parametrize("composer", COMPOSERS)
def test_what_is_remembered_has_bounds_and_forgetting_changes_nothing(
    composer: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ndjson, "Composer", composer)
    body = b"warning: host-%d.example[192.0.2.%d]: SASL CRAM-MD5 authentication failed: PDEy%dMz"
    hits = read([(body % (number, number % 250, number % 200), b"%d" % number) for number in range(5, 115)] * 200)
    assert len(hits) > 10_000
    expected = b"".join(msgspec.json.encode(as_object(built(hit))) + b"\n" for hit in hits)
    assert JsonLines(Selection(frozenset(), (), (), None, None)).of(hits) == expected


@pytest.mark.parametrize("composer", COMPOSERS)
def test_only_new_words_make_an_event(composer: type, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Hit] = []

    def counted(hit: Hit) -> Event:
        made.append(hit)
        return event_of(hit)

    monkeypatch.setattr(ndjson, "Composer", composer)
    monkeypatch.setattr(ndjson, "event_of", counted)
    hits = read([(RELAY % (b"a%d" % number, b"b%d" % number, b"c", b"d%d" % number), b"7") for number in range(50)])
    guess = b"warning: unknown[192.0.2.9]: SASL LOGIN authentication failed: x, sasl_username=u%d"
    hits += read([(guess % number, b"7") for number in range(50)])
    lines = JsonLines(Selection(_KINDS, (), (), None, None)).of(hits)
    assert (len(lines.splitlines()), len(made)) == (100, 2)


@pytest.mark.skipif(not BUILT, reason="the compiled reader is not built: there was no C compiler")
def test_failed_handshakes_are_hits_with_what_the_library_said(monkeypatch: pytest.MonkeyPatch) -> None:
    failed, said = (
        b"SSL_accept error from h%d.example[192.0.2.%d]: -1",
        b"warning: TLS library problem: error:%d:%b:x.c:1:",
    )
    reasons = b"no shared cipher", b"wrong version number"
    hits = read([
        (body, b"%d" % number)
        for number in range(10, 60)
        for body in (failed % (number, number), said % (number % 2, reasons[number % 2]))
    ])  # fmt: skip
    made: list[Hit] = []

    def counted(hit: Hit) -> Event:
        made.append(hit)
        return event_of(hit)

    monkeypatch.setattr(ndjson, "event_of", counted)
    lines = JsonLines(Selection(_KINDS, (), (), None, None)).of(hits)
    assert (len(lines.splitlines()), len(made)) == (50, 2)
    for number, line in enumerate(map(msgspec.json.decode, lines.splitlines()), 10):
        assert (line["client_ip"], line["peer_ip"]) == (f"192.0.2.{number}",) * 2
        assert (line["client_name"], line["peer_name"]) == (f"h{number}.example",) * 2
        assert line["error"] == ("no_shared_cipher", "wrong_version")[number % 2]
        assert line["reason"].startswith(f"error:{number % 2}:")


def test_what_is_typed_stands_in_the_tails_of_hits() -> None:
    forms = [form for daemon in GRAMMAR for form in plain_forms(daemon) if form.plain.typed]
    assert {form.rule.name for form in forms} == {"smtpd-reject", "smtpd-sasl-failed"}
    for form in forms:
        assert form.plain.hit
        assert in_order(form, form.plain.typed) == form.plain.typed
