"""The compiled reader of plain lines, fed from the rule tables. Where it was not built, `parsing.readings` does.

Enters: blocks, and the programs behind their tags. Leaves: counts for the `Tally`; through the listener, hits. Only the
scanner imports this; it must never know a wording.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

from pfwatch.parsing.block import Form, body_pattern, header_patterns
from pfwatch.parsing.hits import Hits
from pfwatch.parsing.listener import Listener
from pfwatch.parsing.programs import Program, Programs
from pfwatch.parsing.readings import key_of, noted_of
from pfwatch.parsing.rule import Plain
from pfwatch.parsing.tally import Tally
from pfwatch.records.header import Tag
from pfwatch.records.time import TimeReader

try:
    from pfwatch.parsing.compiled import Effects, Origin, Pattern, PlainForm, PlainReader, Recording
except ImportError:  # built where there is a C compiler
    BUILT = False
else:
    BUILT = True


class FastReader:
    """Reads the plain lines of one source."""

    def __init__(
        self,
        programs: Programs,
        times: TimeReader,
        not_plain: Callable[..., None] | None,
        tally: Callable[[], Tally],
        *,
        bare: bool,
        picky: bool,
    ) -> None:
        """`not_plain` reads a line that is not plain, None for who only records; `tally` is asked for what counts are
        to be added to. What is `bare` is enough for who counts kinds and looks for
        incidents: lines are counted without what is in them, and of hits only who and when is known. Who is `picky`
        wants not every line, but what he gets in the order, and at the times, of all.
        """
        self._bare, self._picky = bare, picky
        self._programs = programs
        self._tally = tally
        self._reader = PlainReader(self._learn, not_plain, self._make_room, times)

    def read(self, block: bytes, form: str, listener: Listener) -> tuple[int, int, int, int, int] | None:
        """Read a block with headers of this form: the number of its lines, of hits, of lines of nobody who is read, of
        lines that are not plain, and of parts of other events. None where the form's pattern cannot be compiled.
        """
        header = _header(form)
        effects = Effects(listener, bare=self._bare)
        return self._reader.read(block, *header, effects, self._picky) if header else None

    def recording(self, stands_alone: Callable[[bytes], bool]) -> "Recording":
        """What `record` writes to. It ends at a line of another form that does not stand alone."""
        return Recording(stands_alone)

    def record(self, block: bytes, form: str, recording: "Recording") -> tuple[int, int, int, int, int] | None:
        """Read a block and write down what its lines bring about; the same numbers. What is a part is told later."""
        header = _header(form)
        return self._reader.read(block, *header, recording, False) if header else None

    def apply(self, effects: bytes, listener: Listener) -> tuple[int, int, int, int]:
        """Let happen what was written down: how many lines are read here for that, how many of these are hits, not
        plain, and parts of other events.
        """
        return self._reader.apply(effects, Effects(listener, bare=self._bare))

    def gather(self, tally: Tally) -> None:
        """Move the counts into a tally."""
        for node, lines, spread in self._reader.take():
            rule = node.form.form.rule
            kind = node.form.form.plain.hit if node.is_hit else rule.kind
            tally.add(rule, kind, {node.key: lines})
            if spread:
                tally.add_spread(rule, kind, node.key, spread)

    def _make_room(self) -> None:
        self.gather(self._tally())

    def _learn(self, text: bytes) -> Any:
        """The origin of a host and a tag."""
        host, _, tag = text.partition(b" ")
        program = self._programs.of(tag)
        if program is None or not program.needed:
            return Origin(text, host, tag, (), (), foreign=True, awaited=False, begins=None)
        forms = [form for form in program.forms() if self._takes(form.plain)]
        compiled = [(form, pattern) for form in forms if (pattern := _pattern(body_pattern(form)))]
        identified, anonymous = (
            [self._plain_form(form, pattern, program) for form, pattern in compiled if form.with_id is with_id]
            for with_id in (True, False)
        )
        awaited, begins = program.has_words(), program.begins()
        return Origin(text, host, tag, identified, anonymous, foreign=False, awaited=awaited, begins=begins)

    def _takes(self, plain: Plain) -> bool:
        return not plain.bare or self._bare or (self._picky and plain.listed)

    def _plain_form(self, form: Form, pattern: "Pattern", program: Program) -> Any:
        rule, plain = form.rule, form.plain
        tag = program.tag or Tag("", "")  # who has none has no forms
        key: tuple[str, ...] = () if self._bare and plain.judge is None else key_of(form)
        spread = () if self._bare else rule.spread
        return PlainForm(
            form,
            pattern,
            key,
            spread,
            judge=plain.judge,
            hits=(lambda origin, head: Hits(form, origin.host, origin.tag, *tag, head)) if plain.hit else None,
            measure=rule.measure,
            noted=noted_of(form),
            queue_id=plain.queue_id,
            passed=program.passes(rule),
        )


@lru_cache(maxsize=16)
def _header(form: str) -> "tuple[Pattern, Pattern, Pattern] | None":
    begin, origin, behind = map(_pattern, header_patterns(form))
    return (begin, origin, behind) if begin and origin and behind else None


@lru_cache(maxsize=256)
def _pattern(pattern: str) -> "Pattern | None":
    """A pattern as it was compiled; None where it has no steps. Without one lines are read another way."""
    try:
        return Pattern(pattern.encode("latin-1"))
    except LookupError:
        return None
