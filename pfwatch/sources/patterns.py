"""Which logs a pattern such as `/var/log/hosts/*/mail.log` means now.

Enters: a pattern, and the names that are known as logs. Leaves: paths of logs, without what rotation and editors leave
beside them. This file must never know how a log is read.
"""

import glob
import os
import re
from collections.abc import Collection

_SUFFIX = re.compile(r"\.\d{1,4}|[.-]\d[\d.-]*\d")
_LEFT = re.compile(r".*(?:\.(?:gz|bz2|xz|zst|old|bak|save|orig|tmp|swp)|~)")
"""Nobody writes to a file of such a name any more, or nothing that is whole."""


def is_pattern(path: str) -> bool:
    """Whether a path is meant for several files; a file that has this very name is one."""
    return glob.has_magic(path) and not os.path.lexists(path)


def matching(pattern: str, known: Collection[str] = ()) -> list[str]:
    """The logs that it means, sorted. `known`: paths that are logs even while their file is away for a moment."""
    return [
        path
        for path in sorted(glob.glob(pattern))  # noqa: PTH207 - the pattern is a whole path
        if not _LEFT.fullmatch(path) and not _is_rotated(path, known) and os.path.isfile(path)  # noqa: PTH113
    ]


def _is_rotated(path: str, known: Collection[str]) -> bool:
    """Whether it is an older file of a log beside it; a name with a number at its end alone tells nothing."""
    begin = path.rfind("/") + 2
    for found in re.finditer(r"[.-](?=\d)", path[begin:]):
        end = begin + found.start()
        if _SUFFIX.fullmatch(path, end) and (path[:end] in known or os.path.isfile(path[:end])):  # noqa: PTH113
            return True
    return False
