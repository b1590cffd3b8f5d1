"""The rotated files beside a log: where what was being read may be now.

Enters: the path of a log and a position. Leaves: open files that hold what came after the position. This file must
never know what becomes of the log itself.
"""

import glob
import re
from contextlib import ExitStack
from pathlib import Path

from pfwatch.position import FilePosition
from pfwatch.sources.openlog import OpenLog, open_log
from pfwatch.sources.settings import SourceSettings

_SUFFIX = re.compile(r"(?:\.(?P<count>\d{1,4})|[.-](?P<date>\d[\d.-]*\d))(?:\.(?:gz|bz2|xz|zst))?")
_TRIES = 3
"""A rotation renames its files within milliseconds; who lists them in that moment lists them again."""


def rotated_files(path: Path) -> list[list[Path]]:
    """Rotated files of a log, oldest first, one list for each way of naming them: `.2.gz .1`, `-20260101.gz -20260102`.

    Of a file that is there both plain and compressed only the plain one: the other is still being written.
    """
    counted: dict[int, Path] = {}
    dated: dict[int, Path] = {}
    for entry in sorted(path.parent.glob(f"{glob.escape(path.name)}[.-]*")):
        match = _SUFFIX.fullmatch(entry.name, len(path.name))
        if match and entry.is_file():  # sorted: the plain name comes before the compressed one
            if match["count"]:
                counted.setdefault(-int(match["count"]), entry)
            else:
                dated.setdefault(int(re.sub("[.-]", "", match["date"])), entry)
    return [[files[age] for age in sorted(files)] for files in (counted, dated) if files]


def open_rest(position: FilePosition, settings: SourceSettings) -> list[OpenLog]:
    """The rotated file in which the position is, open there, and all newer ones, open at their beginning.

    Empty when no rotated file is the one of the position. Raises OSError when one of them cannot be read.
    """
    for _ in range(_TRIES - 1):
        try:
            return _open_rest(position, settings)
        except FileNotFoundError:
            continue
    return _open_rest(position, settings)


def _open_rest(position: FilePosition, settings: SourceSettings) -> list[OpenLog]:
    with ExitStack() as opened:
        for files in rotated_files(Path(position.path)):
            logs: list[OpenLog] = []
            for path in reversed(files):
                log = open_log(position.path, path, settings)
                opened.callback(log.close)
                logs.insert(0, log)
                if log.holds(position):
                    log.go_to(position.offset)
                    opened.pop_all()
                    return logs
        return []
