"""The scanner: a block of whole lines in, tallies and events out.

Enters: blocks of bytes that end at a line end, cut anywhere else. Leaves: through the listener, one event or hit for
every line that is more than a count; in `Tally`, the counts, and what became of each line. The result does not depend
on where blocks are cut.
This file must never know what a session is, nor what any wording means: one pattern (`parsing.block`) cuts a block and
tells the heads of plain lines, `parsing.readings` counts them, and `parsing.single` reads any other record.

Speed is the product here: nine lines of ten are plain, cost one match of the block's pattern, and leave a number in a
dictionary. What happens once in a hundred lines lives in a method of its own.
"""

import re
from operator import length_hint
from typing import Any

from pfwatch.parsing.block import Pieces, cut_pattern
from pfwatch.parsing.fast import BUILT, FastReader
from pfwatch.parsing.hits import Hit
from pfwatch.parsing.latest import Last, Latest
from pfwatch.parsing.listener import Listener, Process
from pfwatch.parsing.readings import FOREIGN, Readings
from pfwatch.parsing.single import SingleReader
from pfwatch.parsing.stretch import Stretch
from pfwatch.parsing.tally import Tally
from pfwatch.parsing.wanted import Wanted
from pfwatch.records.header import FIRST_WORD, FORMS, MOST_REPEATS, Row, compile_form, last_repeated
from pfwatch.records.time import TimeReader

_MOST_LINES = 50_000
"""Plain lines whose counts are gathered at the latest."""


class Scanner:
    """Reads one source. Sources are scanned apart, because their lines interleave."""

    def __init__(
        self,
        listener: Listener,
        times: TimeReader,
        *,
        every_event: bool = False,
        dovecot: bool = False,
        tell_unread: bool = False,
        fast: bool = BUILT,
        bare: bool = False,
        wanted: Wanted | None = None,
    ) -> None:
        """Tell `listener` what happens; with `every_event`, tell it every line and count none; with `dovecot`, read
        Dovecot's lines, too; with `tell_unread`, tell it the lines of Postfix that no rule reads, too; with `fast`,
        read plain lines by compiled code, which has the same result; what is `bare` may lack what nobody needs who
        counts kinds and looks for incidents; with `wanted`, tell it what that says, and pass over what does not matter
        for it.
        """
        self._listener, self._times = listener, times
        self._every_event = every_event
        self._form = "bsd"
        self._picky = wanted is not None
        self._single = SingleReader(
            listener,
            times,
            every_event=every_event,
            dovecot=dovecot,
            tell_unread=tell_unread or every_event,
            wanted=wanted,
        )
        self._readings = Readings(self._single.programs)
        self._fast = (
            FastReader(self._single.programs, times, self._not_plain, lambda: self.tally, bare=bare, picky=self._picky)
            if fast
            else None
        )
        self._plain = 0
        """Plain lines whose counts are not gathered yet."""
        self._alone = False
        """A line in another form than its block's is read as a block of its own."""
        self._latest = Latest()
        self._starts: tuple[bytes, list[int]] = b"", []
        self._repeated: tuple[bytes, int, Last | None] = b"", 0, None
        """Block, number and record of the latest line that only repeats another."""

    @property
    def tally(self) -> Tally:
        """What became of the lines since it was taken; the counts of plain lines come to it when they are gathered."""
        return self._single.tally

    def take(self, *, counts: bool = True) -> Tally:
        """What became of the lines since the last call and, with `counts` or when they are many, their counts."""
        if counts or self._plain >= _MOST_LINES:
            self._readings.gather(self.tally)
            if self._fast:
                self._fast.gather(self.tally)
            self._plain = 0
        tally, self._single.tally = self.tally, Tally()
        return tally

    @property
    def tell_losses(self) -> bool:
        """Whether some program was met that may say in the log that messages were dropped."""
        return self._single.programs.tell_losses

    def newest(self) -> float | None:
        """The time of the latest record, seconds since the epoch; None before the first."""
        moment = self._times.read(self._latest.time) if self._latest.time else None
        return moment.at if moment else None

    def state(self) -> bytes:
        """What a restart must know of the lines before, encoded."""
        return self._latest.state()

    def restore(self, saved: bytes) -> None:
        """Go on behind the lines that `state` speaks of."""
        self._latest.restore(saved)

    def scan(self, block: bytes, reference: float) -> None:
        """Read whole lines; `reference` is the newest moment that a record in them can have."""
        if not block:
            return
        if not block.endswith(b"\n"):
            block += b"\n"
        if b"\r" in block:
            block = block.replace(b"\r\n", b"\n")
        self._times.expect(reference)
        self.tally.total += self._read_all(block) if self._every_event else self._read(block)
        self._latest.remember(block)

    def follow(self, stretch: Stretch) -> None:
        """Make a stretch its own that was read apart: it follows the lines that were read."""
        if self._fast is None:
            raise ValueError("whoever reads by Python alone reads every line himself")
        lines, hits, others, parts = self._fast.apply(stretch.effects, self._listener)
        tally, foreign = self.tally, stretch.foreign
        tally.foreign += foreign
        tally.parts += parts
        tally.tallied += stretch.tallied + lines - hits - others - parts
        tally.events += stretch.events + hits
        tally.total += stretch.tallied + stretch.events + foreign + lines
        self._plain += lines - others - parts
        self._latest.follow(stretch.latest)

    def add(self, counted: Tally) -> None:
        """Count what was counted in stretches that were read apart."""
        for (rule, kind), keys in counted.counts.items():
            self.tally.add(rule, kind, keys)
            for key, spread in counted.spread.get((rule, kind), {}).items():
                self.tally.add_spread(rule, kind, key, spread)

    def _read_all(self, block: bytes) -> int:
        """Read every line by itself; gives their number."""
        rows = compile_form(self._form).findall(b"\n" + block, 0, len(block))
        steps = iter(rows)
        for row in steps:
            self._cold(Row._make(row), block, len(rows) - length_hint(steps) - 1)
        return len(rows)

    def _read(self, block: bytes) -> int:
        """Count what is plain, read the rest one by one, each in its turn; gives the number of lines."""
        read = self._fast.read(block, self._form, self._listener) if self._fast else None
        if read is None:
            return self._read_by_pattern(block)
        lines, hits, foreign, others, parts = read
        self.tally.foreign += foreign
        self.tally.parts += parts
        self.tally.tallied += lines - hits - foreign - others - parts
        self.tally.events += hits
        self._plain += lines - foreign - others - parts
        return lines

    def _read_by_pattern(self, block: bytes) -> int:  # noqa: C901 - a call costs as much as the rest of what a line needs
        """Count what is plain, read the rest one by one, each in its turn; gives the number of lines."""
        rows = cut_pattern(self._form).findall(b"\n" + block, 0, len(block))
        listener, read_time = self._listener, self._times.read
        watch, reused, finished = listener.watch, listener.reused, listener.finished
        clients, failures, messages = listener.clients.rows, listener.failures.rows, listener.messages.rows
        most_clients, most_failures = listener.clients.limit, listener.failures.limit
        most_messages = listener.messages.limit
        identified, anonymous = self._readings.identified, self._readings.anonymous
        processes, failed, message_keys = [], [], []  # whose rows were changed
        hits = others = 0
        latest, day, exists = b"", b"", False
        reading: Any
        steps = iter(rows)
        for cut in steps:
            time, origin, pid, queue_id, head, client, tail, _ = cut
            try:
                reading = (identified if queue_id else anonymous)[origin][head]
            except KeyError:
                reading = self._readings.learn(origin, head, self.tally, with_id=bool(queue_id))
            if time != latest:
                latest = time
                if time[:10] != day:  # or hour: the pattern knows only times of a day that exist
                    day, exists = time[:10], read_time(time) is not None
            if reading and pid and exists:
                counts, note, varied, host, tag = reading
                if watch:
                    self._passed(time, (host, tag, pid), head + client + tail)
                if varied is None:
                    try:
                        counts[tail] += 1
                        if note is None:
                            continue
                        if note == "connect":
                            process = (host, tag, pid)
                            if process in clients:
                                del clients[process]  # it becomes the youngest
                            elif len(clients) >= most_clients:
                                listener.clients.make_room()
                            clients[process] = client
                            if process in failures:
                                del failures[process]
                            processes.append(process)
                            continue
                        if note == "disconnect":
                            process = (host, tag, pid)
                            if counts.noted[tail] <= failures.get(process, 0):  # every AUTH that failed was told
                                clients.pop(process, None)
                                failures.pop(process, None)
                                processes.append(process)
                                continue
                            counts[tail] -= 1
                        elif note == "client":
                            message = (host, queue_id)
                            if message in messages:
                                del messages[message]
                            elif len(messages) >= most_messages:
                                listener.messages.make_room()
                            messages[message] = (client, counts.noted[tail], False)
                            message_keys.append(message)
                            if message in reused:
                                listener.accepted(message)
                            continue
                        else:
                            message = (host, queue_id)
                            if messages.pop(message, None):
                                message_keys.append(message)
                            continue
                    except KeyError:
                        pass  # not plain
                elif varied.match is None:
                    varied.lines += 1
                    continue
                elif found := varied.match(tail):
                    row = found.groups()
                    if counts is None:
                        varied.rows.append(row)
                        continue
                    judged = counts[row]
                    if judged[1] is False:
                        judged[0] += 1
                        continue
                    if judged[1] and (moment := read_time(time)):
                        judged[0] += 1
                        hits += 1
                        if watch:
                            listener.tick(moment[0])
                        finished.append(Hit(varied.hits, moment, latest, pid, queue_id, client, tail))
                        if note is not None:
                            process = (host, tag, pid)
                            if process not in failures and len(failures) >= most_failures:
                                listener.failures.make_room()
                            failures[process] = failures.get(process, 0) + 1
                            failed.append(process)
                        continue
            others += 1
            if reading is FOREIGN:
                self.tally.foreign += 1
                if watch:
                    self._passed(time, None, b"")
            else:
                self._not_plain(cut, block, len(rows) - length_hint(steps) - 1)
        listener.clients.touch(processes)
        listener.failures.touch(processes)
        listener.failures.touch(failed)
        listener.messages.touch(message_keys)
        self.tally.tallied += len(rows) - hits - others
        self.tally.events += hits
        self._plain += len(rows) - others
        return len(rows)

    def _passed(self, time: bytes, process: Process | None, body: bytes) -> None:
        """A line that makes no event passed while somebody was waited for."""
        listener = self._listener
        if process and process in listener.watch:
            listener.spoke(process, body)
        if self._picky and (moment := self._times.read(time)):
            listener.tick(moment.at)

    def _not_plain(self, cut: Pieces, block: bytes, number: int) -> None:
        """A line that the block's pattern cut and that no plain form fits."""
        time, origin, pid, queue_id, head, client, tail, other = cut
        host, _, tag = origin.partition(b" ")
        body = head + client + tail
        word = body
        if queue_id:
            body = queue_id + b": " + body
        row = Row(time, host, tag, pid, body, queue_id, FIRST_WORD.match(word)[0], other)  # type: ignore[index] # fits any
        self._cold(row, block, number)

    def _cold(self, row: Row, block: bytes, number: int) -> None:
        """The line of a block with this number, read by itself."""
        if not row.time:
            self._no_record(row, block, number)
            return
        if self._listener.watch and (row.host, row.tag, row.pid) in self._listener.watch:
            self._listener.spoke((row.host, row.tag, row.pid), row.body)
        self._single.read(row, 1)

    def _no_record(self, row: Row, block: bytes, number: int) -> None:
        """A line in another form, one that repeats the line before it, or nobody's."""
        repeated = last_repeated(row.other)
        if repeated:
            known, line, last = self._repeated
            if known is not block or line != number - 1:  # else it repeats what the line before it repeats
                last = self._latest.before(block, self._start_of(block, number))
            self._repeated = block, number, last
            if last is None:
                self._single.unread(row, "malformed", 1)
            else:
                time, host, times = repeated.groups(b"")
                self._single.read(Row(time, host, *last, b""), min(int(times), MOST_REPEATS))
            return
        for form in FORMS:
            other = compile_form(form).fullmatch(b"\n" + row.other)
            if other and other[1]:
                self._form = form  # the next block is cut by the form that was seen last
                if self._every_event or self._alone:
                    self._cold(Row._make(other.groups(b"")), block, number)
                else:
                    self._alone = True
                    self._read(row.other + b"\n")
                    self._alone = False
                return
        self._single.unread(row, "malformed", 1)

    def _start_of(self, block: bytes, number: int) -> int:
        """Where the line feed before the line with this number stands; every line is one match of the pattern."""
        if self._starts[0] is not block:
            self._starts = block, [-1, *(found.start() for found in re.finditer(rb"\n", block))]
        return self._starts[1][number]
