"""The forms of a record's header, and the pattern that cuts a block of lines into records.

Enters: nothing. Leaves: compiled patterns and the tag of a record, resolved. This file must never know what a body
means.

A pattern starts with the literal line feed, because `re` looks for a literal first byte at memory speed; a block has
one put before it. Every alternative is anchored on the header, so text that somebody typed can never look like the
beginning of a record. Every line of a block is matched: by its header, or whole as `other`.
"""

import re
from functools import lru_cache
from typing import Final, NamedTuple

QUEUE_ID: Final = r"(?:NOQUEUE|[0-9A-F]{5,20}+|[0-9B-DF-HJ-NP-TV-Zb-df-hj-np-tv-z]{10,30}+)"
"""A short id (hexadecimal), a long one (`enable_long_queue_ids`, base 52 without vowels), or none yet."""

_CLOCK = r"(?:[01][0-9]|2[0-3]):[0-5][0-9]:(?:[0-5][0-9]|60)"
_BSD_TIME = rf"[A-Z][a-z][a-z] [ 0-3][0-9] {_CLOCK}(?:\.[0-9]{{1,9}})?"
_ISO_TIME = rf"[0-9]{{4}}-[01][0-9]-[0-3][0-9]T{_CLOCK}(?:[.,][0-9]{{1,9}})?(?:Z|[+-](?:[01][0-9]|2[0-3]):?[0-5][0-9])?"
_UNIX_TIME = r"[0-9]{9,11}\.[0-9]{1,9}"

_COLOUR = r"(?:\x1b\[[0-9;]{0,15}m)"
_PLACE = (
    rf"(?:\[pod/[^\] \n]{{1,330}}+\] |{_COLOUR}?[A-Za-z0-9][A-Za-z0-9_.@-]{{0,255}}+ *+\|(?:{_COLOUR} | {_COLOUR}?))"
)
CONTAINER: Final = rf"(?:{_PLACE}(?:{_ISO_TIME} )?|{_ISO_TIME} (?:std(?:out|err) F )?)"
"""What a container runtime puts before each line: `kubectl logs --prefix` the pod; `docker compose logs` the service,
coloured on a terminal; `-t` and `--timestamps` the time. The files that Kubernetes and Podman write (CRI) have time and
stream, and F for a full line."""

_WORD = r"[^ :=\n]*+"
_BODY = rf"((?:({QUEUE_ID}): )?({_WORD})[^\n]*+)"


class Form(NamedTuple):
    """How a header is written, as pieces of a pattern: `begin` host, blank, `tag` `end` body."""

    begin: str
    """Up to the host; its one group is the time."""
    tag: str
    end: str
    """Between tag and body; its one group is the pid."""


def _tagged(time: str, *, before: str = "") -> Form:
    return Form(rf"{before}({time}) ", r"[^ \n\[:]++", r"(?:\[([0-9]++)\])?: ?+")


_SD = r'(?:-|(?:\[(?:[^\]"\n]++|"(?:[^"\\\n]++|\\.)*")*\])+)(?: (?:\xef\xbb\xbf)? ?+|(?=\n|\Z))'

FORMS: Final[dict[str, Form]] = {
    # RFC 3164 as written by rsyslog, syslogd, postlogd (zero-padded day) and `journalctl -o short[-precise]`
    "bsd": _tagged(_BSD_TIME),
    # RFC 3339: rsyslog's RSYSLOG_FileFormat, `journalctl -o short-iso[-precise]`
    "rfc3339": _tagged(_ISO_TIME),
    # `journalctl -o short-full`
    "full": _tagged(
        rf"[0-9]{{4}}-[01][0-9]-[0-3][0-9] {_CLOCK} [A-Z0-9+-]{{1,6}}",
        before="[A-Z][a-z][a-z] ",
    ),
    # `journalctl -o short-unix`
    "unix": _tagged(_UNIX_TIME),
    # RFC 5424: <PRI>1 TIME HOST APP-NAME PROCID MSGID STRUCTURED-DATA MSG
    "rfc5424": Form(
        rf"<[0-9]{{1,3}}>1 ({_ISO_TIME}) ",
        r"[^ \n]++",
        rf" (?:-|([0-9]++)|[^ \n]++) [^ \n]++ {_SD}",
    ),
    # as BSD, with the priority that stands on the wire
    "wire": _tagged(f"(?:{_BSD_TIME}|{_ISO_TIME})", before="<[0-9]{1,3}>"),
    # as postlogd writes it to standard output, behind what the container's runtime puts before it
    "container": _tagged(f"(?:{_BSD_TIME}|{_ISO_TIME})", before=CONTAINER),
}


class Row(NamedTuple):
    """One line of a block. Either `other` is the whole line and the rest is empty, or `other` is empty."""

    time: bytes
    host: bytes
    tag: bytes
    pid: bytes
    body: bytes
    queue_id: bytes
    word: bytes
    other: bytes


@lru_cache(maxsize=16)
def compile_form(form: str) -> re.Pattern[bytes]:
    """The pattern of a form for whole blocks; its eight groups are the fields of a `Row`."""
    begin, tag, end = FORMS[form]
    return re.compile(rf"\n(?:{begin}([^ \n]++) ({tag}){end}{_BODY}|([^\n]*+))".encode("latin-1"))


def row_of(line: bytes) -> Row | None:
    """A line with the line feed before it, as a record of any form; None where it is none."""
    for form in FORMS:
        found = compile_form(form).fullmatch(line)
        if found and found[1]:
            return Row._make(found.groups(b""))
    return None


BODY: Final = re.compile(_BODY.encode())
"""Body, queue id and word of a body alone."""
FIRST_WORD: Final = re.compile(_WORD.encode())
"""Of what stands behind the queue id."""

REPEATED_WORD: Final = b"message"
REPEATED: Final = re.compile(rb"message repeated ([0-9]{1,6}) times?: \[ ?(.*)\]", re.DOTALL)
"""rsyslog's `$RepeatedMsgReduction`: the line stood once before and came N times more."""


def last_repeated(line: bytes) -> re.Match[bytes] | None:
    """A line in the BSD syslogd's form, which has no tag: the line before it in the file came N times more. Its groups
    are time, host and N.
    """
    return last_repeated_pattern().fullmatch(line) if b"last message repeated " in line else None


@lru_cache(maxsize=1)
def last_repeated_pattern() -> re.Pattern[bytes]:
    """Compiled when a line may be one: most logs have none."""
    return re.compile(
        rf"(?:<[0-9]{{1,3}}>|{CONTAINER})?({_BSD_TIME}|{_ISO_TIME}) (?:(?!last |--- )([^ \n]++) )?"
        rf"(?:--- )?last message repeated ([0-9]{{1,6}}) times?(?: ---)?".encode()
    )


MOST_REPEATS: Final = 100_000
"""More than this is not believed: a body can be typed by a client."""

PROGRAMS: Final = frozenset(
    (
        "anvil", "bounce", "cleanup", "discard", "dnsblog", "error", "flush", "lmtp", "local", "master",
        "nbdb_reindexd", "nqmgr", "oqmgr", "pickup", "pipe", "post-install", "postalias", "postcat",
        "postconf", "postdrop", "postfix", "postfix-script", "postfix-tls-script", "postfix-wrapper",
        "postkick", "postlock", "postlog", "postlogd", "postmap", "postmulti", "postmulti-script",
        "postqueue", "postscreen", "postsuper", "posttls-finger", "proxymap", "qmgr", "qmqpd", "scache",
        "sendmail", "showq", "smtp", "smtpd", "spawn", "tlsmgr", "tlsproxy", "trivial-rewrite", "verify",
        "virtual",
    )
)  # fmt: skip
"""Postfix's daemons and commands, the part of its tag behind the last slash."""


class Tag(NamedTuple):
    """The tag of a record of Postfix: `postfix/submission/smtpd` is service `postfix/submission`, daemon `smtpd`."""

    service: str
    daemon: str


@lru_cache(maxsize=1024)
def postfix_tag(tag: bytes) -> Tag | None:
    """The tag when it is Postfix's, else None.

    The bare tag `postfix` is the postfix(1) command, or what a syslog template left that cuts the program name at the
    slash; the body tells which.
    """
    text = tag.decode("utf-8", "backslashreplace")
    service, slash, daemon = text.rpartition("/")
    if slash:
        return Tag(service, daemon) if daemon in PROGRAMS else None
    return Tag("postfix", "postfix") if text == "postfix" else None
