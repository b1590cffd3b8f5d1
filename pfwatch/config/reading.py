"""Reads a configuration file as TOML.

Enters: a path. Leaves: text, document, and the file's mode; or ConfigError. This file must never know any key.
"""

import os
import re
import tomllib
from pathlib import Path
from typing import Any

from pfwatch.config.problems import ConfigError, Problem

LARGEST = 1024 * 1024
"""Bytes of a configuration file; whoever names a log by mistake is told so at once."""

_PLACE = re.compile(r" \(at (?:line ([0-9]+), column ([0-9]+)|end of document)\)$")
_HINTS = {
    "Invalid value": "; text needs quotes, true and false are in small letters",
    "Cannot overwrite a value": "; this key is set twice",
    "twice": "; write each [table] once and keep its keys together",
    "Unclosed array": "; a ] is missing, or a comma between two items",
    "Expected '=' after a key": "; a line is: key = value",
}


def read(path: Path) -> tuple[str, int]:
    """The text of the file and its mode."""
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST + 1)
            mode = os.fstat(file.fileno()).st_mode
    except FileNotFoundError:
        raise _useless(path, "there is no such file; pfwatch runs without one, on its defaults") from None
    except IsADirectoryError:
        raise _useless(path, "is a directory; name the file in it, such as pfwatch.toml") from None
    except PermissionError:
        raise _useless(path, "cannot be read: permission denied; try as root or as the user of the service") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise _useless(path, f"cannot be read: {reason}") from None
    if len(content) > LARGEST:
        raise _useless(path, f"is larger than {LARGEST // 1024} KiB; is this a configuration file?")
    try:
        return content.decode("utf-8-sig"), mode
    except UnicodeDecodeError as error:
        # The bytes before the bad one are good, so its place can be told in characters.
        before = content[: error.start].decode("utf-8", "replace")
        message = f"byte 0x{content[error.start]:02x} is not UTF-8 text; is this a configuration file?"
        raise ConfigError([_at_end_of(before, path, message)]) from None


def parse(path: Path, text: str) -> dict[str, Any]:
    """The document; a mistake of syntax is told with its place, and hides all others."""
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise _useless(path, "brackets are nested too deeply") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError([_syntax_problem(path, text, str(error))]) from None
    except ValueError:
        # Python refuses to convert a number of thousands of digits, and that error knows no place.
        raise _useless(path, "a number in it has far too many digits") from None


def _syntax_problem(path: Path, text: str, words: str) -> Problem:
    place = _PLACE.search(words)
    message = words[: place.start()] if place else words
    hint = next((hint for part, hint in _HINTS.items() if part in message), "")
    message = f"this is not TOML: {message[:1].lower()}{message[1:]}{hint}"
    if place and place[1]:
        return Problem(str(path), int(place[1]), int(place[2]), "", message)
    return _at_end_of(text, path, message)


def _at_end_of(text: str, path: Path, message: str) -> Problem:
    return Problem(str(path), text.count("\n") + 1, len(text) - (text.rfind("\n") + 1) + 1, "", message)


def _useless(path: Path, message: str) -> ConfigError:
    return ConfigError([Problem(str(path), 0, 0, "", message)])
