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
from pfwatch.parsing.readings import key_of
from pfwatch.parsing.rule import Rule
from pfwatch.parsing.tally import Tally
from pfwatch.records.header import Tag
from pfwatch.records.time import TimeReader

try:
    from pfwatch.parsing import steps
    from pfwatch.parsing.compiled import Effects, Origin, PlainForm, PlainReader, Recording, Steps
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

    def read(self, block: bytes, form: str, listener: Listener) -> tuple[int, int, int, int] | None:
        """Read a block with headers of this form: the number of its lines, of hits, of lines of nobody who is read,
        and of lines that are not plain. None where the form has no steps.
        """
        steps = _header_steps(form)
        effects = Effects(listener, bare=self._bare)
        return self._reader.read(block, *steps, effects, self._picky) if steps else None

    def recording(self, stands_alone: Callable[[bytes], bool]) -> "Recording":
        """What `record` writes to. It ends at a line of another form that does not stand alone."""
        return Recording(stands_alone)

    def record(self, block: bytes, form: str, recording: "Recording") -> tuple[int, int, int, int] | None:
        """Read a block and write down what its lines bring about; the same numbers."""
        steps = _header_steps(form)
        return self._reader.read(block, *steps, recording, False) if steps else None

    def apply(self, effects: bytes, listener: Listener) -> tuple[int, int, int]:
        """Let happen what was written down: how many lines are read here for that, how many of these are hits, and not
        plain.
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
            return Origin(text, host, tag, (), (), foreign=True, begins=None)
        begins = program.begins()
        # Of bodies that do not matter only those come to the forms that begin like one that does.
        forms = [form for form in program.forms() if begins is None or _may_begin(form.rule, begins)]
        identified, anonymous = (
            [self._plain_form(form, program) for form in forms if form.with_id is with_id] for with_id in (True, False)
        )
        return Origin(text, host, tag, identified, anonymous, foreign=False, begins=begins)

    def _plain_form(self, form: Form, program: Program) -> Any:
        rule, plain = form.rule, form.plain
        tag = program.tag or Tag("", "")  # who has none has no forms
        noted = rule.noted[-1] if rule.notes else None
        key: tuple[str, ...] = () if self._bare and plain.judge is None else key_of(form)
        spread = () if self._bare else rule.spread
        return PlainForm(
            form,
            _steps_of(body_pattern(form), frozenset({"client", noted, *key, *spread})),
            key,
            spread,
            judge=plain.judge,
            hits=(lambda origin, head: Hits(form, origin.host, origin.tag, *tag, head)) if plain.hit else None,
            measure=rule.measure,
            noted=noted,
            passed=program.passes(rule),
        )


def _may_begin(rule: Rule, begins: bytes) -> bool:
    """Whether a body of this rule can begin with one of these bytes: 1 for each, of 256."""
    return any(begins[word[0]] if word else True for word in map(str.encode, rule.words))


@lru_cache(maxsize=16)
def _header_steps(form: str) -> "tuple[Steps, Steps, Steps] | None":
    try:
        begin, origin, behind = map(_steps_of, header_patterns(form))
    except steps.UnsupportedPatternError:
        return None
    return begin, origin, behind


@lru_cache(maxsize=256)
def _steps_of(pattern: str, groups: frozenset[str | None] | None = None) -> "Steps":
    return Steps(steps.Program(pattern.encode("latin-1"), groups))
