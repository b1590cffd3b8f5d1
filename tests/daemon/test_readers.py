"""Each source has one task while it is there; what ends one unasked ends the run."""

import asyncio
from collections.abc import AsyncGenerator

import pytest

from pfwatch.daemon.readers import Readers
from pfwatch.loss import Loss
from pfwatch.position import Block
from pfwatch.sources.source import Source


class Quiet:
    """A source that has nothing to say."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.problem: str | None = None
        self.at_end = True
        self.notes: list[str] = []
        self.losses: list[Loss] = []
        self.open = asyncio.Event()
        self.fails = asyncio.Event()

    async def blocks(self) -> AsyncGenerator[Block, None]:
        self.open.set()
        try:
            await self.fails.wait()
            raise RuntimeError("a mistake in the source")
            yield
        finally:
            self.open.clear()


async def read(source: Source) -> None:
    async for _ in source.blocks():
        pass


async def stop(readers: Readers) -> None:
    readers.match([])
    await asyncio.gather(*readers.tasks(), return_exceptions=True)


async def test_sources_begin_and_end_as_they_come_and_go() -> None:
    one, two, readers = Quiet("one"), Quiet("two"), Readers(read)
    async with asyncio.timeout(10):
        readers.match([one])
        await one.open.wait()
        readers.match([one, two])
        await two.open.wait()
        assert len(readers.tasks()) == 2
        readers.match([two])
        await asyncio.wait(readers.tasks(), return_when=asyncio.FIRST_COMPLETED)
        assert (one.open.is_set(), two.open.is_set()) == (False, True)
        readers.match([one, two])
        await one.open.wait()
        await stop(readers)
        assert (one.open.is_set(), two.open.is_set()) == (False, False)


async def test_what_ends_a_source_is_raised_and_ending_one_is_not() -> None:
    one, two, readers = Quiet("one"), Quiet("two"), Readers(read)
    readers.match([one, two])
    failure = asyncio.create_task(readers.failure())
    async with asyncio.timeout(10):
        await one.open.wait()
        readers.match([two])
        await asyncio.gather(*readers.tasks()[1:], return_exceptions=True)
        assert not failure.done()
        two.fails.set()
        with pytest.raises(RuntimeError, match="a mistake in the source"):
            await failure
    await stop(readers)
