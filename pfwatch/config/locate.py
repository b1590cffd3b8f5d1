"""Finds where in a TOML text each key and value stands; the TOML reader of the standard library does not tell.

Enters: a text that tomllib has accepted. Leaves: line and column by path, such as `("log", "paths", 0)`.
This file must never know which keys mean something. It judges nothing: at what it does not understand it stops, and a
place that it did not find is that of the table around it.
"""

import ast
import re

Path = tuple[str | int, ...]

_BLANK = re.compile(r"(?:[ \t\n]|#[^\n]*)*")
_SPACE = re.compile(r"[ \t]*")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_STRING = re.compile(
    r'"""(?:[^\\]|\\.)*?"{3,5}(?!")' r"|'''.*?'{3,5}(?!')" r'|"(?:[^"\\\n]|\\.)*"' r"|'[^'\n]*'",
    re.DOTALL,
)
_SCALAR = re.compile(r"[^,\]}#\n]+")


class _NotUnderstoodError(Exception):
    pass


class Positions:
    """Places in one TOML text; `()` is its start."""

    def __init__(self, text: str) -> None:
        self._text = text.replace("\r\n", "\n")
        self._at = 0
        self._keys: dict[Path, int] = {}
        self._values: dict[Path, int] = {}
        self._array_tables: dict[Path, int] = {}
        try:
            self._document()
        except (_NotUnderstoodError, RecursionError):
            return

    def key(self, path: Path) -> tuple[int, int]:
        """Line and column, both from 1, of the key; of the closest table around it when it is not found."""
        return self._place(path, self._keys)

    def value(self, path: Path) -> tuple[int, int]:
        """Line and column, both from 1, of the value; of the closest table around it when it is not found."""
        return self._place(path, self._values)

    def has(self, path: Path) -> bool:
        """Whether the key or table is written in the text."""
        return path in self._keys

    def _place(self, path: Path, first_choice: dict[Path, int]) -> tuple[int, int]:
        offset = first_choice.get(path)
        while offset is None and path:
            offset = self._keys.get(path, self._values.get(path))
            path = path[:-1]
        offset = offset or 0
        return self._text.count("\n", 0, offset) + 1, offset - (self._text.rfind("\n", 0, offset) + 1) + 1

    def _document(self) -> None:
        table: Path = ()
        while not self._skip(_BLANK).ended():
            if self._takes("[["):
                table = self._array_table_header()
            elif self._takes("["):
                table = self._table_header()
            else:
                self._pair(table)

    def _table_header(self) -> Path:
        start, names = self._key_path()
        self._expects("]")
        path = self._remember((), names, start)
        self._keys[path] = start - 1
        return path

    def _array_table_header(self) -> Path:
        start, names = self._key_path()
        self._expects("]]")
        array = self._remember((), names[:-1], start) + names[-1:]
        self._keys.setdefault(array, start - 2)
        number = self._array_tables.get(array, -1) + 1
        self._array_tables[array] = number
        self._keys[(*array, number)] = start - 2
        return (*array, number)

    def _pair(self, table: Path) -> None:
        start, names = self._key_path()
        self._expects("=")
        self._skip(_SPACE)
        path = self._remember(table, names, start)
        self._keys[path] = start
        self._value(path)

    def _remember(self, table: Path, names: tuple[str, ...], start: int) -> Path:
        """The path of dotted names; a name that is an array of tables stands for the latest of them."""
        path = table
        for name in names:
            path = (*path, name)
            self._keys.setdefault(path, start)
            if path in self._array_tables:
                path = (*path, self._array_tables[path])
        return path

    def _key_path(self) -> tuple[int, tuple[str, ...]]:
        self._skip(_SPACE)
        start = self._at
        names = [self._name()]
        while self._skip(_SPACE)._takes("."):
            self._skip(_SPACE)
            names.append(self._name())
        return start, tuple(names)

    def _name(self) -> str:
        quoted = self._text.startswith(('"', "'"), self._at)
        text = self._match(_STRING if quoted else _BARE_KEY)
        return _unquoted(text) if quoted else text

    def _value(self, path: Path) -> None:
        self._values[path] = self._at
        if self._takes("["):
            self._array(path)
        elif self._takes("{"):
            self._inline_table(path)
        elif self._text.startswith(('"', "'"), self._at):
            self._match(_STRING)
        else:
            self._match(_SCALAR)

    def _array(self, path: Path) -> None:
        number = 0
        while not self._skip(_BLANK)._takes("]"):
            self._value((*path, number))
            self._skip(_BLANK)._takes(",")
            number += 1

    def _inline_table(self, path: Path) -> None:
        while not self._skip(_BLANK)._takes("}"):
            self._pair(path)
            self._skip(_BLANK)._takes(",")

    def ended(self) -> bool:
        """Whether the whole text has been read."""
        return self._at >= len(self._text)

    def _skip(self, pattern: re.Pattern[str]) -> "Positions":
        found = pattern.match(self._text, self._at)
        self._at = found.end() if found else self._at
        return self

    def _takes(self, literal: str) -> bool:
        found = self._text.startswith(literal, self._at)
        self._at += len(literal) if found else 0
        return found

    def _expects(self, literal: str) -> None:
        if not self._skip(_SPACE)._takes(literal):
            raise _NotUnderstoodError

    def _match(self, pattern: re.Pattern[str]) -> str:
        found = pattern.match(self._text, self._at)
        if not found or found.end() == self._at:
            raise _NotUnderstoodError
        self._at = found.end()
        return found[0]


def _unquoted(text: str) -> str:
    """The name in a quoted key. Python reads the escapes of TOML the same way."""
    if text.startswith("'"):
        return text[1:-1]
    try:
        return str(ast.literal_eval(text))
    except (SyntaxError, ValueError):
        return text[1:-1]
