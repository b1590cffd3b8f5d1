"""Every pattern that a log line is matched against.

Enters: nothing. Leaves: names, compiled patterns, and whether they are searched for or begin where the text begins.
"""

import importlib
import pkgutil
import re
from collections.abc import Iterator
from inspect import signature
from types import ModuleType
from typing import Any, NamedTuple

from pfwatch import parsing, records, sessions
from pfwatch.parsing.block import cut_pattern, in_order, plain_forms, tail_pattern, tails_pattern
from pfwatch.parsing.grammar import GRAMMAR, every_rule
from pfwatch.records.header import FORMS, compile_form

SEARCHED = {
    "reject._categories", "tls._patterns", "smtpd._FAILED_AUTH", "smtpd._COMMAND", "reject._ESCAPED",
    "reject._HELO_END", "reject._BEHIND_SENDER", "reject._BEHIND_RECIPIENT",
    "trouble._FULL",
}  # fmt: skip
"""Patterns of modules that are looked for anywhere in a text; all others are matched at its beginning."""


class Named(NamedTuple):
    """One pattern."""

    name: str
    pattern: re.Pattern[bytes]
    searched: bool


def every_pattern() -> list[Named]:
    """All of them, each text once."""
    found: dict[tuple[bytes, bool], Named] = {}
    for one in (*_of_rules(), *_of_blocks(), *_of_modules()):
        found.setdefault((one.pattern.pattern, one.searched), one)
    return list(found.values())


def _of_rules() -> Iterator[Named]:
    for name, (rule, _) in every_rule().items():
        yield Named(f"rule {name}", rule.compiled, False)
        for number, (pattern, _) in enumerate(rule.counted):
            yield Named(f"counted {name} {number}", pattern, False)


def _of_blocks() -> Iterator[Named]:
    for form in FORMS:
        yield Named(f"header {form}", compile_form(form), False)
        yield Named(f"block {form}", cut_pattern(form), False)
    for daemon in GRAMMAR:
        for one in plain_forms(daemon):
            groups = in_order(one, tuple(re.findall(r"\(\?P<(\w+)>", one.tail)))
            for kind, made in (("tail", tail_pattern(one, groups)), ("tails", tails_pattern(one, groups))):
                yield Named(f"{kind} {one.rule.name}", made, False)
            yield Named(f"tail {one.rule.name} as it stands", re.compile(one.tail.encode() + rb"\Z"), False)


def _of_modules() -> Iterator[Named]:
    for package in (parsing, records, sessions):
        for info in pkgutil.iter_modules(package.__path__):
            module = importlib.import_module(f"{package.__name__}.{info.name}")
            yield from _of_module(info.name, module)


def _of_module(name: str, module: ModuleType) -> Iterator[Named]:
    for variable, value in vars(module).items():
        place = f"{name}.{variable}"
        for pattern in _patterns_in(value):
            yield Named(place, pattern, place in SEARCHED)


def _patterns_in(value: Any) -> Iterator[re.Pattern[bytes]]:
    """Of a variable, of tables of them, and of what gives such a table when it is needed."""
    if isinstance(value, re.Pattern) and isinstance(value.pattern, bytes):
        yield value
    elif type(value) in {tuple, list}:
        for one in value:
            yield from _patterns_in(one)
    elif hasattr(value, "cache_info") and not signature(value).parameters:
        yield from _patterns_in(value())
