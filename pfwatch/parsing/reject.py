"""A refusal's text and its tail: ` from=<…> to=<…> proto=… helo=<…>`.

Enters: what stands behind the client's address. Leaves: its parts and the category. This file must never know where
in a line it stood, nor take an address from it.

Sender, recipient and reply text are typed by the client or another server and may hold anything, also a copy of the
tail. The tail begins at the middle of all places where it could: a copy that a client types into an address stands in
the text before the true tail once for each time that it stands in the address behind it.
"""

import re
from bisect import bisect_left
from collections.abc import Iterator
from functools import cached_property, lru_cache
from typing import Final, NamedTuple

from pfwatch.events import Untrusted
from pfwatch.parsing.fragments import ADDRESS, untrusted, untrusted_or_none

_CODE = re.compile(rb"([2-5][0-9][0-9]) (?:([245]\.[0-9]{1,3}\.[0-9]{1,3}) )?")
_ESCAPED = re.compile(rb"\\(.)", re.DOTALL)
_LONGEST = 2000
"""Bytes of a body at which Postfix cuts (MSG_SYSLOG_RECLEN). The time for a hostile tail grows with its square, up to a
millisecond."""
_STARTS = (b"; from=<", b"; to=<", b"; proto=", b"; helo=<")
_ADDRESS = re.compile(ADDRESS.encode(), re.DOTALL)
_BEHIND_SENDER = re.compile(rb">(?:,? (?=to=<|proto=)|\Z)")
_BEHIND_RECIPIENT = re.compile(rb">(?:,? (?=proto=)|\Z)")
_PROTO = rb"(?:proto=(?P<proto>E?SMTP),? ?)?"
_LOGIN = rb"(?: sasl_method=[^ ]*+)?(?: sasl_username=(?:<(?P<quoted>.*)>|(?P<username>.*?)))?(?: sasl_sender=.*)?\Z"
_BEFORE_HELO = re.compile(_PROTO + rb"helo=<")
_BEHIND_HELO = re.compile(_LOGIN, re.DOTALL)
_HELO_END = re.compile(
    rb">(?=\Z| sasl_(?:username|sender)=| sasl_method=[^ ]*+(?:\Z| sasl_(?:username|sender)=))", re.DOTALL
)
"""Where a login that `_LOGIN` reads begins, or nothing follows."""
_WITHOUT_HELO = re.compile(_PROTO + _LOGIN, re.DOTALL)
_PLAIN = re.compile(
    rb"([2-5][0-9][0-9]) (?:([245]\.[0-9]{1,3}\.[0-9]{1,3}) )?"
    rb'([^;"]*+); from=<([^<>" ;]*+)> to=<([^<>" ;]*+)> proto=(E?SMTP) helo=<([^<>" ;]*+)>\Z'
)
"""A reply in which nobody can have typed anything that looks like the tail: nearly all of them."""


class Reply(NamedTuple):
    """What was said and about whom; every text in it is untrusted."""

    code: int | None
    enhanced_code: str | None
    text: bytes
    """Without codes and tail."""
    sender: Untrusted | None
    recipient: Untrusted | None
    helo: Untrusted | None
    proto: str | None
    username: Untrusted | None
    ambiguous: bool

    @property
    def about(self) -> bytes:
        """The text behind the address that it begins with, where it begins with one."""
        if not self.text.startswith(b"<"):
            return self.text
        for typed in (self.recipient, self.sender, self.helo):
            if typed:
                for form in (typed.encode(), _without_quotes(typed.encode())):
                    if self.text.startswith(b"<" + form + b">: "):
                        return self.text[len(form) + 4 :]
        return self.text.partition(b">: ")[2]


def _without_quotes(typed: bytes) -> bytes:
    """The form of an address that stands in the reply: Postfix quotes only what it writes behind `from=` and `to=`."""
    local, quote, domain = typed.rpartition(b'"')
    return _ESCAPED.sub(rb"\1", local[1:]) + domain if quote and local.startswith(b'"') else typed


def read_reply(text: bytes) -> Reply:
    """Take the part of a line behind `from name[address]: ` to pieces."""
    plain = _PLAIN.match(text)
    if plain:
        code_, enhanced, said, sender, recipient, proto, helo = plain.groups()
        return Reply(
            int(code_),
            enhanced.decode() if enhanced else None,
            said,
            untrusted(sender),
            untrusted(recipient),
            untrusted(helo),
            proto.decode(),
            None,
            ambiguous=False,
        )
    text = text[:_LONGEST]
    begin, ambiguous = _tail_begin(text)
    said, tail = text[:begin], text[begin:]
    sender, recipient, rest = _Tail(tail).read() if tail else _NOTHING
    code = _CODE.match(said)
    proto, helo, username = rest or _NOTHING
    return Reply(
        code=int(code[1]) if code else None,
        enhanced_code=code[2].decode() if code and code[2] else None,
        text=said[code.end() :] if code else said,
        sender=untrusted_or_none(sender),
        recipient=untrusted_or_none(recipient),
        helo=untrusted_or_none(helo),
        proto=proto.decode() if proto else None,
        username=untrusted_or_none(username),
        ambiguous=ambiguous or tail.count(b"> to=<") + tail.count(b">, to=<") > 1,
    )


_NOTHING: Final = (None, None, None)


class _Rest(NamedTuple):
    """What stands behind the addresses."""

    proto: bytes | None
    helo: bytes | None
    username: bytes | None


class _Tail:
    """` from=<…> to=<…>` and the rest. A sender ends at the first place, a recipient at the last, behind which the
    rest can be read, and the helo at the first behind which nothing but a login stands; an address in external form
    ends where its quotes say.

    One pattern could say that, but would read the rest again for every pair of places.
    """

    def __init__(self, text: bytes) -> None:
        self._text = text
        self._rests: dict[int, _Rest | None] = {}

    def read(self) -> tuple[bytes | None, bytes | None, _Rest | None]:
        """Sender, recipient, rest; nothing where the tail is none, or was cut."""
        recipient, rest = self._recipient(2)
        if rest or not self._text.startswith(b"from=<", 2):
            return None, recipient, rest
        for end in self._ends(8, _BEHIND_SENDER):
            recipient, rest = self._recipient(end.end())
            if rest:
                return self._text[8 : end.start()], recipient, rest
        return _NOTHING

    def _recipient(self, begin: int) -> tuple[bytes | None, _Rest | None]:
        """The recipient that stands here, if one does, and the rest."""
        if not self._text.startswith(b"to=<", begin):
            return None, self._rest(begin)
        begin += 4
        end = self._quoted(begin, _BEHIND_RECIPIENT)
        if end is None or not self._rest(end.end()):
            end = self._last_end
        if end is None or end.start() < begin:
            return None, None
        return self._text[begin : end.start()], self._rest(end.end())

    def _ends(self, begin: int, behind: re.Pattern[bytes]) -> Iterator[re.Match[bytes]]:
        quoted = self._quoted(begin, behind)
        if quoted:
            yield quoted
        yield from behind.finditer(self._text, begin)

    def _quoted(self, begin: int, behind: re.Pattern[bytes]) -> re.Match[bytes] | None:
        """The end of an address in external form."""
        address = _ADDRESS.match(self._text, begin)
        return behind.match(self._text, address.end()) if address else None

    @cached_property
    def _last_end(self) -> re.Match[bytes] | None:
        """The last place where any recipient can end."""
        ends = list(_BEHIND_RECIPIENT.finditer(self._text))
        return next((end for end in reversed(ends) if self._rest(end.end())), None)

    @cached_property
    def _helo_ends(self) -> list[int]:
        """The places where any helo can end."""
        return [found.start() for found in _HELO_END.finditer(self._text)]

    def _rest(self, begin: int) -> _Rest | None:
        if begin not in self._rests:
            self._rests[begin] = self._read_rest(begin)
        return self._rests[begin]

    def _read_rest(self, begin: int) -> _Rest | None:
        before = _BEFORE_HELO.match(self._text, begin)
        if before is None:
            found = _WITHOUT_HELO.match(self._text, begin)
            return _Rest(found["proto"], None, found["username"] or found["quoted"]) if found else None
        start, ends = before.end(), self._helo_ends
        number = bisect_left(ends, start)
        login = _BEHIND_HELO.match(self._text, ends[number] + 1) if number < len(ends) else None
        return login and _Rest(before["proto"], self._text[start : ends[number]], login["username"] or login["quoted"])


def _tail_begin(text: bytes) -> tuple[int, bool]:
    """Where the tail begins, and whether somebody typed something that looks like its beginning."""
    for start in _STARTS:
        places = [found.start() for found in re.finditer(re.escape(start), text)]
        if places:
            return places[len(places) // 2], len(places) > 1
    return len(text), False


_CATEGORIES = (
    ("protocol", rb"bare <LF>|Protocol error", 0),
    ("unknown_user", rb"User unknown|User has moved", 0),
    ("rbl", rb"blocked using", 0),
    ("sender_mismatch", rb"not owned by user|not logged in", 0),
    ("size", rb"Message size exceeds|queue file size limit", 0),
    ("storage", rb"Insufficient system storage", 0),
    ("lookup_failure", rb"Temporary lookup", 0),
    ("configuration", rb"Server configuration|Server local data error", 0),
    ("client_dns", rb"cannot find your", 0),
    ("syntax", rb"need fully-qualified address", 0),
    ("helo", rb"Helo command rejected", 0),
    ("sender_domain", rb"Sender address rejected: (?:Domain|Malformed DNS|[^:]*nullMX)", 0),
    ("recipient_domain", rb"Recipient address rejected: (?:Domain|Malformed DNS|[^:]*nullMX)", 0),
    ("unverified", rb"unverified address|undeliverable address", 0),
    ("pipelining", rb"Improper use of SMTP command pipelining", 0),
    ("tls_required", rb"Session encryption", 0),
    ("greylist", rb"greylist", re.IGNORECASE),
    ("spf", rb"SPF", 0),
    ("rate", rb"too many connections|ports busy", 0),
    ("too_many_recipients", rb"too many recipients", 0),
    ("access", rb"Access denied", 0),
    ("content", rb"message rejected: |mime-error", 0),
    ("policy", rb"rejected: ", 0),
)


@lru_cache(maxsize=1)
def _categories() -> tuple[tuple[str, re.Pattern[bytes]], ...]:
    """Compiled when a refusal asks: who reads a log for something else does not wait for it."""
    return tuple((name, re.compile(pattern, flags)) for name, pattern, flags in _CATEGORIES)


def category(about: bytes) -> str:
    """The category of a refusal by its text behind the address, the first that fits."""
    for name, pattern in _categories():
        if pattern.search(about):
            if name == "unknown_user" and b"Sender address" in about:
                return "unknown_sender"
            return name
    return "other"
