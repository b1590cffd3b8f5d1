"""The crash test, short: `./dev crash` is the long one."""

from pathlib import Path

from tests.crash.compare import table
from tests.crash.run import Plan, run


async def test_kills_and_rotations_lose_nothing_and_count_nothing_twice(tmp_path: Path) -> None:
    result = await run(tmp_path, Plan(lines=20_000, kills=6, rotations=6, seed=3, mix="attack"))
    assert not result.differences, "\n".join([table(result.rows), *result.notes, *result.said])
    outbox = next(row for row in result.rows if row.what.startswith("notifications in the outbox"))
    assert outbox.truth > 10  # or it would prove little
