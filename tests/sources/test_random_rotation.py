"""Whatever syslog daemon and log rotation do, in any order, and wherever pfwatch is killed: each line comes once."""

import gzip
import os
import random
import shutil
from pathlib import Path

import pytest

from pfwatch.position import FilePosition
from pfwatch.sources.follow import FileFollower
from pfwatch.sources.settings import SourceSettings

SETTINGS = SourceSettings(block_size=512, max_line=512)


class Scene:
    """A log with a writer, a rotation and a follower, each of which takes steps."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.random = random.Random(seed)
        self.path = folder / "mail.log"
        self.path.touch()
        self.writer = self.path.open("ab", buffering=0)
        self.dated = self.random.random() < 0.3
        self.copying = self.random.random() < 0.3
        self.rotations = 0
        self.number = 0
        self.rest = b""
        """Of a line whose beginning is written."""
        self.written: list[bytes] = []
        self.read: list[bytes] = []
        self.position: FilePosition | None = None
        self.follower = self._follow()
        self.steps: list[str] = []

    def _follow(self) -> FileFollower:
        return FileFollower(str(self.path), SETTINGS, position=self.position)

    def write(self) -> None:
        """Some lines; the last one perhaps not whole yet."""
        self.finish_line()
        for _ in range(self.random.randrange(1, 30)):
            line = b"Oct 19 00:00:%05d mx1 postfix/qmgr[7]: %s\n" % (self.number, b"x" * self.random.randrange(60))
            self.number += 1
            self.written.append(line)
            self.finish_line()
            cut = self.random.randrange(1, len(line)) if self.random.random() < 0.3 else len(line)
            self.writer.write(line[:cut])
            self.rest = line[cut:]

    def finish_line(self) -> None:
        self.writer.write(self.rest)
        self.rest = b""

    def rotate(self) -> None:
        """By renaming, or by copying and truncating; older files move on, and are perhaps compressed."""
        self.finish_line()
        self.rotations += 1
        if self.dated:
            rotated = self.path.with_name(f"mail.log-202601{self.rotations:02}")
        else:
            for count in range(self.rotations, 0, -1):
                for suffix in ("", ".gz"):
                    old = self.path.with_name(f"mail.log.{count}{suffix}")
                    if old.exists():
                        old.rename(self.path.with_name(f"mail.log.{count + 1}{suffix}"))
            rotated = self.path.with_name("mail.log.1")
        if self.copying:
            shutil.copy2(self.path, rotated)
            os.truncate(self.path, 0)
            return
        self.path.rename(rotated)
        if self.random.random() < 0.7:
            self.path.touch()

    def reopen(self) -> None:
        """The syslog daemon hears of the rotation; until then it writes to the old file."""
        self.finish_line()
        self.writer.close()
        self.writer = self.path.open("ab", buffering=0)

    def compress(self) -> None:
        """An old file, to which nobody writes."""
        mine = os.fstat(self.writer.fileno()).st_ino
        plain = [path for path in self.path.parent.glob("mail.log?*") if path.suffix != ".gz"]
        plain = [path for path in plain if path.stat().st_ino != mine]
        if plain:
            path = self.random.choice(plain)
            status = path.stat()
            archive = path.with_name(path.name + ".gz")
            archive.write_bytes(gzip.compress(path.read_bytes()))
            os.utime(archive, ns=(status.st_atime_ns, status.st_mtime_ns))
            path.unlink()

    def look(self, most: int | None = None) -> None:
        """Read some blocks, or all there is."""
        for _ in range(self.random.randrange(1, 5) if most is None else most):
            block = self.follower.poll()
            if block is not None:
                assert isinstance(block.position, FilePosition)
                self.position = block.position
                self.read += block.data.splitlines(keepends=True)
            elif self.follower.at_end:
                return

    def kill(self) -> None:
        self.follower.close()
        self.follower = self._follow()

    def run(self, steps: int) -> None:
        self.write()
        self.finish_line()
        self.look(10_000)  # what was rotated before the first look belongs to nobody's past
        kinds = (self.write, self.write, self.look, self.look, self.rotate, self.reopen, self.compress, self.kill)
        for _ in range(steps):
            step = self.random.choice(kinds)
            if step == self.rotate:
                self.reopen_before_a_second_rotation()
            self.steps.append(step.__name__)
            step()
        self.reopen()
        self.write()
        self.finish_line()
        self.look(10_000)

    def reopen_before_a_second_rotation(self) -> None:
        """A daemon that misses two rotations writes to a file that nobody reads any more."""
        self.reopen()
        self.write()

    def close(self) -> None:
        self.writer.close()
        self.follower.close()


@pytest.mark.parametrize("seed", range(60))
def test_each_line_comes_once_and_in_order(seed: int, tmp_path: Path) -> None:
    scene = Scene(tmp_path, seed)
    scene.run(50)
    assert scene.read == scene.written, scene.steps
    assert scene.follower.losses == []
    scene.close()
