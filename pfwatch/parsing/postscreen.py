"""postscreen and dnsblog: who is tested before smtpd sees them, and how they did.

Enters: match objects. Leaves: events and rules. This file must never know a session.

postscreen never looks up a name: a client is `[address]:port`, and one process serves them all. Sender, recipient and
HELO name of a refusal are as the client typed them: they stand behind the address and the reply, and
whatever they hold, the reply ends where Postfix's own words end.
"""

import re
from typing import Final

from pfwatch.events import Client, Envelope, PostscreenEvent, Rejected, Untrusted
from pfwatch.parsing import screening
from pfwatch.parsing.fragments import address, untrusted, untrusted_or_none, word
from pfwatch.parsing.reject import category
from pfwatch.parsing.rule import Build, Plain, Rule

NAMELESS: Final = r"\[(?P<ip>[0-9A-Fa-f:.]++|unknown)\]:(?P<port>[0-9]{1,5}+|unknown)"
"""postscreen's and tlsproxy's `[address]:port`."""


def nameless(found: re.Match[bytes]) -> Client:
    """The client of a match with the groups of `NAMELESS`."""
    ip, port = found.group("ip", "port")
    return Client(address(ip), None, int(port) if port.isdigit() else None)


_TESTS: Final = {
    b"NEW": "pass_new",
    b"OLD": "pass_old",
    b"ALLOWLISTED": "allowlisted",
    b"WHITELISTED": "allowlisted",
    b"DENYLISTED": "denylisted",
    b"BLACKLISTED": "denylisted",
    b"COMMAND PIPELINING": "pipelining",
    b"NON-SMTP COMMAND": "non_smtp",
    b"BARE NEWLINE": "bare_newline",
    b"COMMAND TIME LIMIT": "time_limit",
    b"COMMAND COUNT LIMIT": "count_limit",
    b"COMMAND LENGTH LIMIT": "length_limit",
}


def _tested(test: str) -> Build[PostscreenEvent]:
    def build(envelope: Envelope, found: re.Match[bytes]) -> PostscreenEvent:
        return PostscreenEvent(envelope, nameless(found), test, None, None, None, None)

    return build


def _named(envelope: Envelope, found: re.Match[bytes]) -> PostscreenEvent:
    return PostscreenEvent(envelope, nameless(found), _TESTS[found["test"]], None, None, None, None)


def _sampled(envelope: Envelope, found: re.Match[bytes]) -> PostscreenEvent:
    sample = untrusted_or_none(found["sample"])
    return PostscreenEvent(envelope, nameless(found), _TESTS[found["test"]], None, None, None, sample)


def _pregreeted(envelope: Envelope, found: re.Match[bytes]) -> PostscreenEvent:
    size, seconds, sample = int(found["bytes"]), float(found["seconds"]), untrusted_or_none(found["sample"])
    return PostscreenEvent(envelope, nameless(found), "pregreet", None, size, seconds, sample)


def _ranked(envelope: Envelope, found: re.Match[bytes]) -> PostscreenEvent:
    return PostscreenEvent(envelope, nameless(found), "dnsbl", int(found["score"]), None, None, None)


def _hung_up(envelope: Envelope, found: re.Match[bytes]) -> PostscreenEvent:
    return PostscreenEvent(envelope, nameless(found), "hangup", None, None, float(found["seconds"]), None)


_SEPARATOR = b">, to=<"
_TAIL = re.compile(rb"(?P<addresses>.*)>, proto=(?P<proto>E?SMTP), helo=<(?P<helo>[^ ]*)>\Z", re.DOTALL)
"""The HELO name is one word: the last `, proto=` is Postfix's own."""
_QUOTED = re.compile(rb'"(?:[^"\\]++|\\.)*"[^>"]*+(?=>, to=<)')
"""A sender that has quotes: a separator inside them is typed."""


def _addresses(text: bytes, *, whole: bool) -> tuple[Untrusted | None, Untrusted | None, bool]:
    """Sender, recipient and whether they may be wrong, of `sender>, to=<recipient`; not `whole` where Postfix cut."""
    places = text.count(_SEPARATOR)
    if not places:
        return None, None, False
    quoted = _QUOTED.match(text) if places > 1 else None
    sender, _, recipient = (quoted[0], b"", text[quoted.end() + 7 :]) if quoted else text.partition(_SEPARATOR)
    return untrusted(sender), untrusted(recipient) if whole else None, places > 1 or not whole


def _refused(envelope: Envelope, found: re.Match[bytes]) -> Rejected:
    code, enhanced, text, tail = found.group("code", "enhanced", "text", "tail")
    end = _TAIL.match(tail) if tail else None
    sender, recipient, ambiguous = _addresses(end["addresses"] if end else tail or b"", whole=end is not None)
    about = category(text)
    if about == "other" and enhanced in (b"4.3.2", b"5.3.2"):
        # to a client that passed the tests after the greeting just now (it comes back), or one of a list
        about = "greylist" if enhanced == b"4.3.2" else "access"
    return Rejected(
        envelope, nameless(found), None, "RCPT", int(code), word(enhanced), code < b"500", about, untrusted(text),
        sender, recipient, untrusted_or_none(end["helo"]) if end else None, word(end["proto"]) if end else None, None,
        ambiguous,
    )  # fmt: skip


def _turned_away(envelope: Envelope, found: re.Match[bytes]) -> Rejected:
    text = found["text"]
    return Rejected(
        envelope, nameless(found), None, "CONNECT", None, None, None, category(text), untrusted(text), None, None,
        None, None, None, False,
    )  # fmt: skip


_HEAD = "Nov 22 10:27:54 mx1 postfix/postscreen[767]: "
_SMTPD = "postscreen/postscreen_smtpd.c: psc_smtpd_read_event"
DNSBLOG: Final = screening.DNSBLOG

POSTSCREEN: Final = (
    Rule(
        name="postscreen-connect",
        since="2.10",
        example=f"{_HEAD}CONNECT from [192.0.2.9]:34679 to [198.51.100.11]:25",
        pattern=rf"CONNECT from {NAMELESS}(?: to \[[0-9A-Fa-f:.]++\]:[0-9]++)?",
        words=("CONNECT",),
        build=_tested("connect"),
        plain=(Plain(rf"CONNECT from {NAMELESS}(?: to \[[0-9A-Fa-f:.]++\]:[0-9]++)?", rare=True),),
        tally=(),
        kind=PostscreenEvent,
        source="postscreen/postscreen.c: psc_service",
    ),
    Rule(
        name="postscreen-disconnect",
        since="2.10",
        example=f"{_HEAD}DISCONNECT [192.0.2.9]:34679",
        pattern=rf"DISCONNECT {NAMELESS}",
        words=("DISCONNECT",),
        build=_tested("disconnect"),
        plain=(Plain(rf"DISCONNECT {NAMELESS}", rare=True),),
        tally=(),
        kind=PostscreenEvent,
        source="postscreen/postscreen_misc.c: psc_conclude",
    ),
    Rule(
        name="postscreen-pass",
        since="2.10",
        example=f"{_HEAD}PASS NEW [192.0.2.9]:34679",
        pattern=rf"PASS (?P<test>NEW|OLD) {NAMELESS}",
        words=("PASS",),
        build=_named,
        plain=(Plain(rf"PASS (?P<test>NEW|OLD) {NAMELESS}", rare=True),),
        tally=("test",),
        kind=PostscreenEvent,
        source="postscreen/postscreen_misc.c: psc_conclude",
    ),
    Rule(
        name="postscreen-listed",
        since="2.10",  # the words with ALLOW and DENY since 3.6, the others also later under respectful_logging=no
        example=f"{_HEAD}DENYLISTED [192.0.2.9]:34679",
        pattern=rf"(?P<test>ALLOWLISTED|DENYLISTED|WHITELISTED|BLACKLISTED) {NAMELESS}",
        words=("ALLOWLISTED", "DENYLISTED", "WHITELISTED", "BLACKLISTED"),
        build=_named,
        source="postscreen/postscreen.c: psc_service",
    ),
    Rule(
        name="postscreen-veto",
        since="2.10",
        example=f"{_HEAD}ALLOWLIST VETO [192.0.2.9]:34679",
        pattern=rf"(?:ALLOWLIST|WHITELIST) VETO {NAMELESS}",
        words=("ALLOWLIST", "WHITELIST"),
        build=_tested("allowlist_veto"),
        source="postscreen/postscreen.c: psc_service",
    ),
    Rule(
        name="postscreen-reject",
        since="2.10",
        example=f"{_HEAD}NOQUEUE: reject: RCPT from [192.0.2.9]:34679: 550 5.7.1 Service unavailable; client "
        "[192.0.2.9] blocked using zen.example.net; from=<spam@example.com>, to=<alice@example.org>, proto=ESMTP, "
        "helo=<client.example.com>",
        pattern=rf"NOQUEUE: reject: RCPT from {NAMELESS}: (?P<code>[45][0-9][0-9]) "
        r"(?:(?P<enhanced>[45]\.[0-9]{1,3}\.[0-9]{1,3}) )?(?P<text>.*?)(?:; from=<(?P<tail>.*))?",
        words=("reject",),
        build=_refused,
        plain=(
            Plain(
                r"NOQUEUE: reject: RCPT from \[[0-9A-Fa-f:.]++\]:[0-9]{1,5}+: [45][0-9][0-9] .*+",
                rare=True,
                hit=Rejected,
                bare=True,
            ),
        ),
        source="postscreen/postscreen_smtpd.c: psc_rcpt_cmd",
    ),
    Rule(
        name="postscreen-reject-connect",
        since="2.10",
        example=f"{_HEAD}NOQUEUE: reject: CONNECT from [192.0.2.9]:34679: too many connections",
        pattern=rf"NOQUEUE: reject: CONNECT from {NAMELESS}: (?P<text>too many connections|all server ports busy)",
        words=("reject",),
        build=_turned_away,
        source="postscreen/postscreen.c: psc_service",
    ),
    Rule(
        name="postscreen-busy",
        since="2.10",
        example=f"{_HEAD}reject: connect from [192.0.2.9]:34679: all screening ports busy",
        pattern=rf"reject: connect from {NAMELESS}: all screening ports busy",
        words=("reject",),
        build=_tested("busy"),
        source="postscreen/postscreen.c: psc_service",
    ),
    Rule(
        name="postscreen-hangup",
        since="2.10",
        example=f"{_HEAD}HANGUP after 0.29 from [192.0.2.9]:33849 in tests before SMTP handshake",
        pattern=rf"HANGUP after (?P<seconds>[0-9]{{1,9}}+(?:\.[0-9]{{1,9}}+)?) from {NAMELESS} in tests "
        r"(?:before|after) SMTP handshake",
        words=("HANGUP",),
        build=_hung_up,
        source="postscreen/postscreen_misc.c: psc_hangup_event",
    ),
    Rule(
        name="postscreen-pregreet",
        since="2.10",
        example=f"{_HEAD}PREGREET 14 after 0.03 from [192.0.2.9]:39339: EHLO ylmf-pc\\r\\n",
        pattern=r"PREGREET (?P<bytes>[0-9]{1,9}+) after (?P<seconds>[0-9]{1,9}+(?:\.[0-9]{1,9}+)?) "
        rf"from {NAMELESS}:(?: (?P<sample>.*))?",
        words=("PREGREET",),
        build=_pregreeted,
        source="postscreen/postscreen_early.c: psc_early_event",
    ),
    Rule(
        name="postscreen-dnsbl",
        since="2.10",
        example=f"{_HEAD}DNSBL rank 3 for [192.0.2.9]:28557",
        pattern=rf"DNSBL rank (?P<score>-?[0-9]{{1,9}}+) for {NAMELESS}",
        words=("DNSBL",),
        build=_ranked,
        plain=(Plain(rf"DNSBL rank (?P<score>-?[0-9]{{1,9}}+) for {NAMELESS}", rare=True),),
        tally=("score",),
        kind=PostscreenEvent,
        source="postscreen/postscreen_early.c: psc_early_event",
    ),
    Rule(
        name="postscreen-command",
        since="2.10",
        # The word behind `after` has no blank; in a pipelined or bare line the client typed it.
        example=f"{_HEAD}NON-SMTP COMMAND from [192.0.2.9]:37819 after CONNECT: GET / HTTP/1.0",
        pattern=rf"(?P<test>COMMAND PIPELINING|NON-SMTP COMMAND) from {NAMELESS} after (?:[^ ]*: )?(?P<sample>.*)",
        words=("COMMAND", "NON-SMTP"),
        build=_sampled,
        source=_SMTPD,
    ),
    Rule(
        name="postscreen-bare-newline",
        since="2.10",
        example=f"{_HEAD}BARE NEWLINE from [192.0.2.9]:37081 after MAIL FROM:<a@example.com>",
        pattern=rf"(?P<test>BARE NEWLINE) from {NAMELESS} after(?: (?P<sample>.*))?",
        words=("BARE",),
        build=_sampled,
        source=_SMTPD,
    ),
    Rule(
        name="postscreen-limit",
        since="2.10",
        example=f"{_HEAD}COMMAND COUNT LIMIT from [192.0.2.9]:46399 after NOOP",
        pattern=rf"(?P<test>COMMAND (?:TIME|COUNT|LENGTH) LIMIT) from {NAMELESS} after(?: (?P<sample>.*))?",
        words=("COMMAND",),
        build=_sampled,
        source=_SMTPD,
    ),
    Rule(
        name="postscreen-without-recipient",
        since="2.10",  # BDAT since 3.5
        example=f"{_HEAD}DATA without valid RCPT from [192.0.2.9]:54519",
        pattern=rf"(?:DATA|BDAT) without valid RCPT from {NAMELESS}",
        words=("DATA", "BDAT"),
        build=_tested("data_without_rcpt"),
        source="postscreen/postscreen_smtpd.c: psc_data_cmd",
    ),
    *screening.STATE,
)
