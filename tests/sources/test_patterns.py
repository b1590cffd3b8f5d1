"""A pattern means the logs that somebody writes to, not what rotation and editors leave beside them."""

from pathlib import Path

import pytest

from pfwatch.sources.patterns import is_pattern, matching


def names(folder: Path, pattern: str, *files: str, known: tuple[str, ...] = ()) -> list[str]:
    for name in files:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    found = matching(f"{folder}/{pattern}", {f"{folder}/{name}" for name in known})
    return [str(Path(path).relative_to(folder)) for path in found]


@pytest.mark.parametrize(
    ("pattern", "logs", "others"),
    [
        ("*.log", ("a.log", "b.log"), ("a.log.1", "a.log-20261121", "b.log.2.gz", "notes", ".hidden.log")),
        ("mail*", ("mail.err", "mail.log"), ("mail.log.1", "mail.log.2.gz", "mail.log-20261121", "mail.log.3.xz")),
        (
            "mail*",
            ("mail.log",),
            ("mail.log-20261121-1700000000", "mail.log.20261121.zst", "mail.log.old", "mail.log~"),
        ),
        ("*/mail.log", ("mx1/mail.log", "mx2/mail.log"), ("mx1/mail.log.1", "mx1/syslog", "mail.log")),
        ("*", ("192.0.2.10", "192.0.2.9", "mx-1", "mx-10"), ("192.0.2.9.gz", "192.0.2.9.1", "mx-10-20261121")),
        ("mail-*", ("mail-20261124", "mail-20261125"), ("mail-20261123.gz",)),
        ("mail.log.*", (), ("mail.log.1", "mail.log.2.gz", "mail.log")),
        ("mail-[0-9]*.log", ("mail-2026-11-25.log",), ("mail-2026-11-24.log.gz",)),
    ],
)
def test_logs_are_told_from_what_is_left_of_them(
    pattern: str, logs: tuple[str, ...], others: tuple[str, ...], tmp_path: Path
) -> None:
    assert names(tmp_path, pattern, *logs, *others) == list(logs)


def test_a_rotated_file_is_no_log_while_its_log_is_away_for_a_moment(tmp_path: Path) -> None:
    assert names(tmp_path, "mail*", "mail.log.1", known=("mail.log",)) == []
    assert names(tmp_path, "mail*", "mail.log.1") == ["mail.log.1"]


def test_directories_and_links_to_nothing_are_no_logs(tmp_path: Path) -> None:
    (tmp_path / "dir.log").mkdir()
    (tmp_path / "link.log").symlink_to(tmp_path / "nothing")
    (tmp_path / "real.log").symlink_to(tmp_path / "file")
    assert names(tmp_path, "*.log", "file") == ["real.log"]


def test_a_file_that_has_the_very_name_is_no_pattern(tmp_path: Path) -> None:
    (tmp_path / "mail[1].log").touch()
    assert not is_pattern(f"{tmp_path}/mail[1].log")
    assert is_pattern(f"{tmp_path}/mail[2].log")
    assert not is_pattern(f"{tmp_path}/mail.log")
