"""A refusal's text and its tail: ` from=<…> to=<…> proto=… helo=<…>`.

Enters: what stands behind the client's address. Leaves: its parts and the category. This file must never know where
in a line it stood, nor take an address from it.

Sender, recipient and reply text are typed by the client or another server and may hold anything, also a copy of the
tail. The tail begins at the middle of all places where it could: a copy that a client types into an address stands in
the text before the true tail once for each time that it stands in the address behind it.
"""

import re
from typing import NamedTuple

from pfwatch.events import Untrusted
from pfwatch.parsing.fragments import ADDRESS, untrusted, untrusted_or_none

_CODE = re.compile(rb"([2-5][0-9][0-9]) (?:([245]\.[0-9]{1,3}\.[0-9]{1,3}) )?")
_ESCAPED = re.compile(rb"\\(.)", re.DOTALL)
_LONGEST = 2000
"""Bytes of a body at which Postfix cuts (MSG_SYSLOG_RECLEN). The time for a hostile tail grows with its square."""
_STARTS = (b"; from=<", b"; to=<", b"; proto=", b"; helo=<")
_TAIL = re.compile(
    rf"; (?:from=<(?P<sender>{ADDRESS}|.*?)>(?=,? (?:to=<|proto=)|\Z),? ?)??"
    rf"(?:to=<(?P<recipient>{ADDRESS}|.*)>(?=,? proto=|\Z),? ?)?"
    r"(?:proto=(?P<proto>E?SMTP),? ?)?(?:helo=<(?P<helo>[^\n]*?)>)?"
    r"(?: sasl_method=(?P<method>[^ ]*+))?(?: sasl_username=(?:<(?P<quoted>.*)>|(?P<username>.*?)))?"
    r"(?: sasl_sender=.*)?".encode()
    + rb"\Z",
    re.DOTALL,
)
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
    found = _TAIL.match(tail) if tail else None
    code = _CODE.match(said)
    sender, recipient, helo, proto, username = (
        (found["sender"], found["recipient"], found["helo"], found["proto"], found["username"] or found["quoted"])
        if found
        else (None, None, None, None, None)
    )
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


def _tail_begin(text: bytes) -> tuple[int, bool]:
    """Where the tail begins, and whether somebody typed something that looks like its beginning."""
    for start in _STARTS:
        places = [found.start() for found in re.finditer(re.escape(start), text)]
        if places:
            return places[len(places) // 2], len(places) > 1
    return len(text), False


_CATEGORIES: tuple[tuple[str, re.Pattern[bytes]], ...] = tuple(
    (name, re.compile(pattern, flags))
    for name, pattern, flags in (
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
)


def category(about: bytes) -> str:
    """The category of a refusal by its text behind the address, the first that fits."""
    for name, pattern in _CATEGORIES:
        if pattern.search(about):
            if name == "unknown_user" and b"Sender address" in about:
                return "unknown_sender"
            return name
    return "other"
