"""Settings from the environment: `PFWATCH_MAIL__HOST=...` stands above the key `host` of `[mail]` in the file.

Enters: the environment and what the file says. Leaves: both in one document, and which variable gave which key.
This file must never know what a value may be, nor show one.
"""

import tomllib
from collections.abc import Mapping
from typing import Any

from pfwatch.config.locate import Path
from pfwatch.config.model import ARRAY_TABLES, TABLES
from pfwatch.config.problems import Problem
from pfwatch.config.values import did_you_mean

PREFIX = "PFWATCH_"


def _variables() -> dict[str, tuple[str, ...]]:
    paths = [
        (*table, key)
        for table, keys in TABLES.items()
        for key, is_table in keys.items()
        if table and table not in ARRAY_TABLES and (not is_table or (*table, key) in ARRAY_TABLES)
    ]
    return {PREFIX + "__".join(part.upper().replace("-", "_") for part in path): path for path in paths}


VARIABLES = _variables()
"""The path of the key that each variable sets."""


def override(document: dict[str, Any], environ: Mapping[str, str]) -> tuple[dict[Path, str], list[Problem]]:
    """Puts what the environment says into the document; the variables by the path they set, and what is wrong."""
    origins: dict[Path, str] = {}
    problems: list[Problem] = []
    for name in sorted(environ):
        if not name.startswith(PREFIX) or "__" not in name:
            continue
        path = VARIABLES.get(name)
        if path is None:
            message = f"no setting has this name{did_you_mean(name, VARIABLES)}"
            problems.append(Problem("environment", 0, 0, _printable(name), message))
        elif path[-1] == "password":
            message = f"others can see the environment; keep the password in a file and name that with {name}_FILE"
            problems.append(Problem("environment", 0, 0, name, message))
        elif _put(document, path, _value(environ[name])):
            origins[path] = name
    return origins, problems


def _value(written: str) -> object:
    """What TOML makes of it (`25`, `true`, `["a", "b"]`), otherwise the text itself."""
    try:
        parsed = tomllib.loads(f"value = {written}")
    except (ValueError, RecursionError):
        return written
    # More than one key: a line break in the value, which is no way to set other keys.
    return parsed["value"] if len(parsed) == 1 else written


def _put(document: dict[str, Any], path: tuple[str, ...], value: object) -> bool:
    table: Any = document
    for name in path[:-1]:
        table = table.setdefault(name, {})
        if not isinstance(table, dict):
            return False
    table[path[-1]] = value
    return True


def _printable(name: str) -> str:
    return name if name.isprintable() else ascii(name)
