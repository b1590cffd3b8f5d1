"""Words about a key that does not exist where it stands: misspelt, or in the wrong table.

Enters: the path of the key. Leaves: a sentence that names the right key or table. This file must never know values.
"""

import json
import re

from pfwatch.config.locate import Path
from pfwatch.config.model import ARRAY_TABLES, RULES, TABLES
from pfwatch.config.values import did_you_mean, shown

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


def dotted(path: Path) -> str:
    """The path as it is written in TOML; the number of an item is left out, line and column tell it."""
    names = [part for part in path if isinstance(part, str)]
    return ".".join(name if _BARE_KEY.fullmatch(name) else json.dumps(name) for name in names)


def unknown_key(path: Path, *, is_table: bool) -> str:
    """What to say about a key, or a table, that the model does not know."""
    name = str(path[-1])
    table = tuple(part for part in path[:-1] if isinstance(part, str))
    guess = did_you_mean(name, TABLES.get(table, {}))
    home = _home(name, table, is_table=is_table)
    if table == ("detection",) and is_table:
        return f"there is no rule {shown(name)}{guess or '; the rules are ' + ', '.join(RULES)}"
    if not table:
        what = f"there is no section [{dotted(path)}]" if is_table else f"{shown(name)} stands outside every section"
    else:
        what = f"{shown(name)} is not a key of {_header(table)}"
    if not home and not guess:
        known = ", ".join(TABLES.get(table, {}))
        return f"{what}; {'the sections' if not table else 'its keys'} are {known}"
    return f"{what}{home}{guess}"


def _home(name: str, table: tuple[str, ...], *, is_table: bool) -> str:
    """Where the key belongs; TOML surprises who writes a key of the top or of one table below another [table]."""
    homes = [path for path, keys in TABLES.items() if path != table and name in keys]
    rules = [path for path in homes if path[0] == "detection" and len(path) == 2]
    others = [_header((*path, name) if TABLES[path][name] else path) for path in homes if path not in rules]
    if rules:
        others.append(f"a rule such as {_header(rules[0])}")
    if not others:
        return ""
    trap = " (a key belongs to the last [table] above it)" if table and not is_table else ""
    return f"; it belongs to {' or '.join(others)}{trap}"


def _header(table: tuple[str, ...]) -> str:
    return f"[[{dotted(table)}]]" if table in ARRAY_TABLES else f"[{dotted(table)}]"
