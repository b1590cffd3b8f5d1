"""The lines of hits, put together from texts. Where there was a C compiler, `composing` does it, with the same result.

Enters: events and hits. Leaves: their lines. This file must never know a kind, nor how a text is shown: what lines have
in common is told by whoever made it.
"""

from typing import NamedTuple, Protocol

from pfwatch.events import Event
from pfwatch.parsing.block import in_order, tail_pattern
from pfwatch.parsing.hits import Hit, Hits
from pfwatch.records.time import Moment

_REMEMBERED = 16_384
"""Texts of each sort that are kept; beyond, all are forgotten."""
AGAIN = -1
"""Instead of a hole's number: the fields that tell of the client again stand there, each with its name."""


class Around(NamedTuple):
    """The texts around moment and pid."""

    before_at: bytes
    before_pid: bytes
    behind_pid: bytes


class Template(NamedTuple):
    """What the lines of hits have in common that have the same head and queue id, and the same tail but for what was
    typed: the holes.
    """

    around: Around | None
    """None: they are not asked for."""
    tail: tuple[bytes, ...]
    """Before each hole, and behind the last."""
    written: tuple[bytes, ...]
    """Behind the client: before each typed text, and behind the last."""
    holes: tuple[int, ...]
    """In which hole each of these texts stands; or AGAIN."""


class Texts(Protocol):
    """Who knows the texts that lines are put together from."""

    longest_client: int
    longest_body: int
    """Bytes; of what is longer, the whole event is to be built."""

    def learn(self, hit: Hit) -> Template | None:
        """The template of a hit; None where its line cannot be put together."""

    def client(self, client: bytes) -> bytes | None:
        """A client; None where he is not asked for."""

    def again(self, hit: Hit) -> bytes:
        """The fields that tell of the client again, behind a comma."""

    def pid(self, pid: bytes) -> bytes:
        """The number of a process."""

    def typed(self, text: bytes) -> bytes:
        """What was typed."""

    def stamp(self, moment: Moment) -> bytes:
        """A moment."""

    def in_time(self, at: float) -> bool:
        """Whether that time is asked for."""

    def line(self, event: Event) -> bytes:
        """The line of an event; empty where it is not asked for."""

    def line_of_hit(self, hit: Hit) -> bytes:
        """The same of a hit, by building its event."""


class Composer:
    """Puts lines together."""

    def __init__(self, texts: Texts) -> None:
        self._texts = texts
        self._alike: dict[tuple[Hits, bytes, bytes], tuple[Around, bytes, bytes | None] | None] = {}
        """By hits, queue id and tail, the texts before the client and behind; the last stands behind those fields that
        tell of him again, None where there are none.
        """
        self._templates: dict[tuple[Hits, bytes, tuple[bytes, ...]], Template] = {}
        """By hits, queue id and the parts of the tail."""
        self._clients: dict[bytes, bytes | None] = {}
        self._pids: dict[bytes, bytes] = {}

    def of(self, events: list[Event | Hit]) -> bytes:
        """The lines of some events."""
        lines: list[bytes] = []
        texts = self._texts
        known, clients, pids = self._alike, self._clients, self._pids
        moment: Moment | None = None
        at, wanted = b"", False
        for one in events:
            if not isinstance(one, Hit):
                lines.append(texts.line(one))
                continue
            if one.moment is not moment:
                moment = one.moment
                at, wanted = texts.stamp(moment), texts.in_time(moment.at)
            if not wanted:
                continue
            try:
                alike, client, pid = known[one.hits, one.queue_id, one.tail], clients[one.client], pids[one.pid]
            except KeyError:
                if not self._learn(one):
                    lines.append(texts.line_of_hit(one))
                    continue
                alike, client, pid = known[one.hits, one.queue_id, one.tail], clients[one.client], pids[one.pid]
            if alike and client:
                (before_at, before_pid, behind_pid), behind_client, behind_again = alike
                lines += before_at, at, before_pid, pid, behind_pid, client, behind_client
                if behind_again is not None:
                    lines += texts.again(one), behind_again
        return b"".join(lines)

    def _learn(self, hit: Hit) -> bool:
        """Remember the texts of a hit; False where its line cannot be put together."""
        texts = self._texts
        if self._is_long(hit):
            return False
        for cache in (self._alike, self._templates, self._clients, self._pids):
            if len(cache) >= _REMEMBERED:
                cache.clear()
        if hit.client not in self._clients:
            self._clients[hit.client] = texts.client(hit.client)
        if hit.pid not in self._pids:
            self._pids[hit.pid] = texts.pid(hit.pid)
        if (hit.hits, hit.queue_id, hit.tail) in self._alike:
            return True
        parts, _, typed = parts_of(hit)
        template = self._templates.get((hit.hits, hit.queue_id, parts)) or texts.learn(hit)
        if template is None:
            return False
        self._templates[hit.hits, hit.queue_id, template.tail] = template
        self._alike[hit.hits, hit.queue_id, hit.tail] = self._alike_of(template, typed)
        return True

    def _alike_of(self, template: Template, typed: tuple[bytes, ...]) -> tuple[Around, bytes, bytes | None] | None:
        if template.around is None:
            return None
        behind, before_again = [template.written[0]], None
        for hole, text in zip(template.holes, template.written[1:], strict=True):
            if hole == AGAIN:
                before_again, behind = b"".join(behind), [text]
            else:
                behind += self._texts.typed(typed[hole]), text
        rest = b"".join(behind)
        return (template.around, rest, None) if before_again is None else (template.around, before_again, rest)

    def _is_long(self, hit: Hit) -> bool:
        size = len(hit.queue_id) + len(hit.hits.head) + len(hit.tail) + 2
        return len(hit.client) > self._texts.longest_client or size > self._texts.longest_body


class Parts(NamedTuple):
    """A tail, and what was typed in it."""

    tail: tuple[bytes, ...]
    """Before each hole, and behind the last."""
    names: tuple[str, ...]
    typed: tuple[bytes, ...]
    """In each hole."""


def parts_of(hit: Hit) -> Parts:
    """The parts of a tail."""
    form, tail = hit.hits.form, hit.tail
    found = tail_pattern(form, form.plain.typed).match(tail) if form.plain.typed else None
    if found is None:
        return Parts((tail,), (), ())
    parts, names, typed, behind = [], [], [], 0
    for name, (begin, end) in zip(in_order(form, form.plain.typed), found.regs[1:], strict=True):
        if begin >= 0:
            parts.append(tail[behind:begin])
            names.append(name)
            typed.append(tail[begin:end])
            behind = end
    return Parts((*parts, tail[behind:]), tuple(names), tuple(typed))
