"""Entries of the journal as lines of a log, so that one parser reads both.

Enters: entries, each as its fields, and their times. Leaves: lines in RFC 3339 form, `TIME HOST TAG[PID]: MESSAGE`, and
how many entries were forged. This file must never know how a journal is read.

Only what is ours becomes a line: selected by name, not by systemd's unit, which is `postfix@-.service` here and
`postfix.service` there. An entry is one line whatever is in it: a line feed would be a second one, with a header that
somebody typed, so it is written as rsyslog writes it.
"""

import re
import time
from collections.abc import Callable, Mapping
from operator import itemgetter

from pfwatch.sources.journal.origin import Origin, is_postfix, may_be_dovecot, may_be_postfix
from pfwatch.sources.settings import JournalSettings

FACILITY = "SYSLOG_FACILITY=2"
"""Mail: Postfix's and Dovecot's, unless they are told another one."""
DROPPED = "MESSAGE_ID=a596d6fe7bfa4994828e72309e95d61e"
"""journald's own word that it dropped messages (SD_MESSAGE_JOURNAL_DROPPED)."""
FIELDS = (
    "SYSLOG_IDENTIFIER", "SYSLOG_PID", "_UID", "_EXE", "_HOSTNAME", "_COMM", "_TRANSPORT", "MESSAGE",
)  # fmt: skip
"""All that is looked at."""

Entry = Mapping[str, object]
"""Fields by name; a value is bytes, or a list of them where the field stands several times."""

_usual = itemgetter("SYSLOG_IDENTIFIER", "SYSLOG_PID", "_UID", "_EXE", "_HOSTNAME")
"""What decides over nearly every entry, in one step; where one of them is missing, all of FIELDS do."""
_TAG = re.compile(rb"[^ \n\[:]+")
_HOST = re.compile(rb"[^ \n]+")
_SECOND = 1_000_000
_MOST_WRITERS = 20_000
"""Processes that are remembered at once; more are looked at anew. Each takes about 300 bytes."""
_JOURNALD = b"systemd-journald"
OTHER, FORGED = b"", b"!"
"""In place of a line's beginning: an entry that is not ours, and one that only claims to be."""


class LineMaker:
    """Makes lines of entries, one after the other, and gathers them until they are taken."""

    def __init__(self, settings: JournalSettings, max_line: int, owner: int | None = None) -> None:
        """`owner`: the number of Postfix's user where the journal is this machine's."""
        self._settings = settings
        self.max_line = max_line
        self._owner = owner
        self._known: dict[object, bytes] = {}
        self._lines: list[bytes] = []
        self.blocks: list[bytes] = []
        """Lines with their line feeds, of a reader that makes them itself: out of `clock_of`, `begin_of` and `tidy`."""
        self._second = -1
        self._stem = b""
        self.forged = 0
        """Entries that claim to be Postfix's and are not; whoever counts them sets it to zero."""
        self.forgery = ""
        """The first of them, for a message."""

    def pull(self, step: Callable[[], bool], fields: Callable[[], Entry], moment: Callable[[], int], count: int) -> int:
        """Take at most `count` entries from a reader. Fewer: there are no more at present.

        `step` goes to the next entry, `fields` and `moment` (microseconds since the epoch) are of the present one.
        """
        # A loop of a few microseconds, most of them libsystemd's: whatever can stand before it does.
        known, append, usual, nothing, typed = self._known, self._lines.append, _usual, OTHER, FORGED
        second, next_second, stem = self._second, self._second + _SECOND, self._stem
        for number in range(count):
            if not step():
                return number
            entry = fields()
            try:
                begin = known[usual(entry)]
            except (KeyError, TypeError):
                begin = self._look(entry)
            if begin is nothing:
                continue
            if begin is typed:
                self.forged += 1
                continue
            at = moment()
            if not second <= at < next_second:
                second = self._second = at - at % _SECOND
                next_second = second + _SECOND
                stem = self._stem = self.clock_of(at // _SECOND) + b".%06d+00:00 %b%b"
            try:
                append(stem % (at - second, begin, entry["MESSAGE"]))
            except (KeyError, TypeError):
                append(stem % (at - second, begin, _first(entry.get("MESSAGE")) or b""))
        return count

    def add(self, entry: Entry, at: int) -> None:
        """Take one entry, received `at` microseconds since the epoch."""
        self.pull(lambda: True, lambda: entry, lambda: at, 1)

    def take(self) -> bytes:
        """The lines since the last call, each with its line feed."""
        lines, self._lines = self._lines, []
        blocks, self.blocks = self.blocks, []
        if lines:
            lines.append(b"")
            data = b"\n".join(lines)
            # One look at the whole, for nearly always nothing is to be done.
            if data.count(b"\n") != len(lines) - 1 or len(max(lines, key=len)) > self.max_line:
                data = b"\n".join(map(self.tidy, lines))
            blocks.append(data)
        return b"".join(blocks)

    def tidy(self, line: bytes) -> bytes:
        """A line as one line, and no longer than allowed."""
        return line.rstrip(b"\n").replace(b"\n", b"#012")[: self.max_line]

    @staticmethod
    def clock_of(second: int) -> bytes:
        """A second since the epoch, as lines begin."""
        return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second)).encode()

    def begin_of(self, values: tuple[bytes | None, ...]) -> bytes:
        """The beginning of the lines of whoever wrote an entry with these FIELDS, without the message, behind the
        time; OTHER or FORGED in place of it.
        """
        begin = self._known.get(values)
        if begin is None:
            if len(self._known) >= _MOST_WRITERS:
                self._known.clear()
            begin = self._known[values] = self._judge(*values)
        return begin

    def _look(self, entry: Entry) -> bytes:
        values = tuple(_first(entry.get(name)) for name in FIELDS[:-1])
        begin = self.begin_of(values)
        if values == tuple(entry.get(name) for name in FIELDS[:-1]) and None not in values[:5]:
            self._known[values[:5]] = begin
        return begin

    def _judge(
        self,
        identifier: bytes | None,
        pid: bytes | None,
        user: bytes | None,
        program: bytes | None,
        host: bytes | None,
        command: bytes | None,
        transport: bytes | None,
    ) -> bytes:
        origin = Origin(identifier, user, program, command, transport)
        if identifier is None or not _TAG.fullmatch(identifier):
            return OTHER
        if is_postfix(identifier):
            true = may_be_postfix(origin, self._owner)
        elif self._settings.dovecot and identifier == b"dovecot":
            true = may_be_dovecot(origin)
        elif identifier == _JOURNALD and transport == b"driver":
            true = True
        else:
            return OTHER
        if not true and self._settings.verify:
            name = identifier.decode("utf-8", "backslashreplace")
            self.forgery = self.forgery or f"as {name}, written by {origin.writer()}"
            return FORGED
        shown = b"[%b]" % pid if pid is not None and pid.isdigit() else b""
        return b"%b %b%b: " % (host if host and _HOST.fullmatch(host) else b"-", identifier, shown)


def _first(value: object) -> bytes | None:
    """Of a field that stands several times, which no writer of ours does, the first."""
    if isinstance(value, list):
        value = value[0] if value else None
    return value if isinstance(value, bytes) else None
