"""Lines in which the syslog daemon or the journal says that it dropped messages.

Enters: a block of whole lines. Leaves: a `Loss` for each such line. This file must never know what becomes of a line
otherwise: to the accounting these are lines of other programs.

Nobody who talks to a mail server can write such a line: it is one by its header's tag, and the whole body must fit.

rsyslog (runtime/ratelimit.c, and plugins/imuxsock of version 5):
    imuxsock[pid 2309]: begin to drop messages due to rate-limiting
    imuxsock[pid: 2309, name: /usr/lib/postfix/sbin/smtpd] from <mx1:postfix>: begin to drop messages due to ...
    imjournal: 4711 messages lost due to rate-limiting (20000 allowed within 600 seconds)
    imuxsock begins to drop messages from pid 2309 due to rate-limiting
    imuxsock lost 4711 messages from pid 2309 due to rate-limiting
systemd (src/journal/journald-server.c and -syslog.c):
    Suppressed 4711 messages from postfix@-.service
    Forwarding to syslog missed 23 messages.
"""

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Final

from pfwatch.loss import Loss
from pfwatch.records.header import FORMS
from pfwatch.records.time import TimeReader

_CLUE: Final = b" messages"
"""In every one of these lines, and in hardly any other."""
_TAGS: Final = r"(?:(rsyslogd)(?:-[0-9]{1,5})?|systemd-journald?|journal)"
_NUMBER: Final = r"([0-9]{1,9})"
_INPUT: Final = r"([a-z][a-z0-9]{1,20})(?:\[([^\]\n]{0,300})\])?"
_LINK: Final = r"(?: \[v8\.[0-9a-z.-]{1,40} try https://www\.rsyslog\.com/e/[0-9]{1,6} \])?"
_LIMITS: Final = {
    "imuxsock": 'SysSock.RateLimit.Interval="0" for module imuxsock',
    "imjournal": 'Ratelimit.Interval="0" for module imjournal',
}
_OTHER_LIMIT: Final = "the RateLimit options of that input"

_RSYSLOG: Final = (
    rf"{_INPUT}: {_NUMBER} messages lost due to rate-limiting(?: \([0-9a-z ]{{1,60}}\))?{_LINK}",
    rf"{_INPUT} lost {_NUMBER} messages from pid [0-9]{{1,10}} due to rate-limiting",
    # The sender's host and program may be typed by a stranger; only here do they stand in the line.
    rf"{_INPUT}(?: from <[^\n]{{0,300}}>)?: begin to drop messages due to rate-limiting{_LINK}",
    rf"{_INPUT} begins to drop messages from pid [0-9]{{1,10}} due to rate-limiting",
)
_SUPPRESSED: Final = re.compile(rf"Suppressed {_NUMBER} messages from ([\w@.:/\\-]{{1,200}})".encode())
_NOT_FORWARDED: Final = re.compile(rf"Forwarding to syslog missed {_NUMBER} messages\.?".encode())


@lru_cache(maxsize=1)
def _of_rate_limits() -> tuple[re.Pattern[bytes], ...]:
    """Compiled when such a line may be there, which is seldom."""
    return tuple(re.compile(pattern.encode()) for pattern in _RSYSLOG)


@lru_cache(maxsize=1)
def _headers() -> tuple[Callable[[bytes], re.Match[bytes] | None], ...]:
    """One for each form of a header; groups: time, rsyslogd or nothing, pid, body."""
    patterns = (rf"{begin}[^ \n]++ {_TAGS}{end}([^\n]*+)" for begin, _, end in FORMS.values())
    return tuple(re.compile(pattern.encode("latin-1")).fullmatch for pattern in patterns)


_TELLERS: Final = re.compile(_TAGS.encode())


def tells_losses(tag: bytes) -> bool:
    """Whether a record with this tag may say that messages were dropped."""
    return _TELLERS.fullmatch(tag) is not None


def read_losses(block: bytes, times: TimeReader) -> list[Loss]:
    """The losses that the lines of a block tell of, in their order."""
    losses: list[Loss] = []
    found = block.find(_CLUE)
    while found >= 0:
        begin, end = block.rfind(b"\n", 0, found) + 1, block.find(b"\n", found)
        end = end if end >= 0 else len(block)
        loss = _read(block[begin:end].rstrip(b"\r"), times)
        if loss:
            losses.append(loss)
        found = block.find(_CLUE, end)
    return losses


def _read(line: bytes, times: TimeReader) -> Loss | None:
    # The tag stands before the first colon and blank: a stranger's words stand behind it, and cost next to nothing.
    head = line[: line.find(b": ")]
    if b"rsyslogd" not in head and b"journal" not in head:
        return None
    for header in _headers():
        row = header(line)
        if row is None:
            continue
        moment = times.read(row[1])
        if moment is None:
            return None
        told = _of_rsyslog(row[4]) if row[2] else _of_journald(row[4])
        return Loss("rate_limited", f"{moment.stamp}: {told[1]}", told[0], at=moment.at) if told else None
    return None


def _of_rsyslog(body: bytes) -> tuple[int | None, str] | None:
    """Lines, where they are told, and the sentence."""
    for pattern in _of_rate_limits():
        found = pattern.fullmatch(body)
        if found is None:
            continue
        name, process = found[1].decode(), found[2] or b""
        if b"name: " in process and b"postfix" not in process:  # what another program lost was not mail
            return None
        lines = int(found[3]) if pattern.groups > 2 else None
        what = f"dropped {lines} messages" if lines is not None else "begins to drop messages"
        return lines, (
            f"rsyslogd {what} at the rate limit of {name}, lines of Postfix perhaps among them. "
            f"The limit is switched off in its configuration: {_LIMITS.get(name, _OTHER_LIMIT)}"
        )
    return None


def _of_journald(body: bytes) -> tuple[int, str] | None:
    found = _SUPPRESSED.fullmatch(body)
    if found:
        unit = found[2].decode().rpartition("/")[2]
        if "postfix" not in unit:  # what another service lost was not mail
            return None
        return int(found[1]), (
            f"the journal dropped {int(found[1])} messages of {unit} at its rate limit. "
            f"The limit is switched off by LogRateLimitIntervalSec=0 in the unit: systemctl edit {unit}"
        )
    found = _NOT_FORWARDED.fullmatch(body)
    if found:
        return int(found[1]), (
            f"the journal could not hand {int(found[1])} messages to the syslog daemon in time, lines of Postfix "
            "perhaps among them. Let the syslog daemon read the journal itself (rsyslog: module imjournal), or raise "
            "net.unix.max_dgram_qlen"
        )
    return None
