"""A syslog receiver at work in a test, and certificates for its TLS."""

import asyncio
import contextlib
import shutil
import subprocess
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import msgspec
import pytest

from pfwatch.position import Block
from pfwatch.sources.settings import Listen, SyslogSettings
from pfwatch.sources.syslog.receiver import SyslogReceiver

PATIENCE = 20.0
HERE = "127.0.0.1"


def needs(program: str, package: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(
        shutil.which(program, path="/usr/sbin:/usr/bin:/sbin:/bin") is None,
        reason=f"{program} is missing (Debian: apt-get install {package})",
    )


async def until(holds: Callable[[], object]) -> None:
    """Let the loop turn until something holds."""
    async with asyncio.timeout(PATIENCE):
        while not holds():  # noqa: ASYNC110 - what is waited for is the kernel's, or another process's
            await asyncio.sleep(0.005)


class Receiving:
    """What a receiver gives. `hold` lets it wait as a pipeline that is busy would."""

    def __init__(self, receiver: SyslogReceiver) -> None:
        self.receiver = receiver
        self.blocks: list[Block] = []
        self.count = 0
        """Lines."""
        self.free = asyncio.Event()
        self.free.set()
        self._news = asyncio.Event()

    @property
    def lines(self) -> list[bytes]:
        return b"".join(block.data for block in self.blocks).splitlines(keepends=True)

    def port(self, number: int = 0) -> int:
        return self.receiver.addresses[number].port

    async def read(self) -> None:
        async with contextlib.aclosing(self.receiver.blocks()) as blocks:
            async for block in blocks:
                self.blocks.append(block)
                self.count += block.data.count(b"\n")
                self._news.set()
                await self.free.wait()

    async def has(self, count: int) -> list[bytes]:
        """The lines, once there are so many."""
        async with asyncio.timeout(PATIENCE):
            while self.count < count:
                self._news.clear()
                await self._news.wait()
        return self.lines

    async def says(self, words: str) -> str:
        await until(lambda: any(words in note for note in self.receiver.notes))
        return next(note for note in self.receiver.notes if words in note)


@contextlib.asynccontextmanager
async def receiving(*transports: str, **settings: object) -> AsyncIterator[Receiving]:
    listen = tuple(Listen(transport, HERE, 0) for transport in transports)  # type: ignore[arg-type]
    async with running(SyslogReceiver(msgspec.structs.replace(SyslogSettings(listen=listen), **settings))) as running_:
        yield running_


@contextlib.asynccontextmanager
async def running(receiver: SyslogReceiver) -> AsyncIterator[Receiving]:
    it = Receiving(receiver)
    task = asyncio.create_task(it.read())
    await asyncio.sleep(0)
    try:
        yield it
    finally:
        it.free.set()
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


class Authority:
    """Makes certificates with the openssl command."""

    def __init__(self, directory: Path, name: str = "ca") -> None:
        self._directory = directory
        self.certificate, self._key = directory / f"{name}.pem", directory / f"{name}.key"
        self._run(
            f"req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN={name} "
            f"-keyout {self._key} -out {self.certificate} -addext basicConstraints=critical,CA:TRUE "
            "-addext keyUsage=critical,keyCertSign,cRLSign"
        )

    def issue(self, name: str, alternative: str) -> tuple[Path, Path]:
        """Certificate and key, for a name such as `DNS:mx1.example.org`."""
        certificate, key, request = (self._directory / f"{name}.{end}" for end in ("pem", "key", "csr"))
        extensions = self._directory / f"{name}.ext"
        extensions.write_text(f"subjectAltName={alternative}\nextendedKeyUsage=serverAuth,clientAuth\n")
        self._run(
            f"req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN={name} -keyout {key} -out {request}"
        )
        self._run(
            f"x509 -req -in {request} -CA {self.certificate} -CAkey {self._key} -CAcreateserial -days 2 "
            f"-extfile {extensions} -out {certificate}"
        )
        return certificate, key

    def _run(self, arguments: str) -> None:
        subprocess.run(["openssl", *arguments.split()], check=True, capture_output=True, timeout=60)
