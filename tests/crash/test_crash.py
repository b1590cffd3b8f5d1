"""The crash test, short: `./dev crash` is the long one."""

import asyncio
import bz2
import gzip
import lzma
import random
from pathlib import Path

from tests.bench.generate import generate
from tests.crash.compare import table
from tests.crash.run import Plan, run
from tests.crash.writer import Writer

OPEN = {".gz": gzip.decompress, ".bz2": bz2.decompress, ".xz": lzma.decompress}


async def test_kills_and_rotations_lose_nothing_and_count_nothing_twice(tmp_path: Path) -> None:
    result = await run(tmp_path, Plan(lines=12_000, kills=5, rotations=6, seed=3, mix="attack"))
    assert not result.differences, "\n".join([table(result.rows), *result.notes, *result.said])
    outbox = next(row for row in result.rows if row.what.startswith("notifications in the outbox"))
    assert outbox.truth > 10  # or it would prove little


def plain(path: Path) -> bytes:
    return OPEN.get(path.suffix, bytes)(path.read_bytes())


async def test_what_the_writer_wrote_is_in_its_files_to_the_byte(tmp_path: Path) -> None:
    text = b"".join(generate(20_000, "normal", 1))
    ends = [text.index(b"\n", len(text) * part // 20) + 1 for part in range(1, 19)]
    writer = Writer(tmp_path / "mail.log", text, ends, random.Random(1), 0.0)
    working = asyncio.create_task(writer.work())
    writer.allow(len(text) // 2)
    await writer.until_written()
    writer.begin_dated_names()
    writer.allow(len(text))
    await working
    writer.close()
    counted = sorted(tmp_path.glob("mail.log.*"), key=lambda path: -int(path.name.split(".")[2]))  # noqa: ASYNC240
    dated = sorted(tmp_path.glob("mail.log-*"))  # noqa: ASYNC240
    assert min(len(counted), len(dated)) > 7
    assert b"".join(map(plain, [*counted, *dated, tmp_path / "mail.log"])) == text
    assert len(writer.ways) == 6  # each way under both names
