"""The daemon behind rsyslog, as an administrator has it: processes, the configuration that we ship, /metrics."""

import asyncio
import contextlib
import os
import signal
import socket
from pathlib import Path

from tests.sources.receiving import HERE, needs
from tests.sources.test_syslog_rsyslog import rsyslog, shipped
from tests.test_daemon import FAILED, STORY, start


def free_port() -> int:
    with socket.create_server((HERE, 0)) as server:
        return int(server.getsockname()[1])


def configure(folder: Path, port: int, transport: str = "tcp") -> None:
    (folder / "pfwatch.toml").write_text(f"""
        [syslog]
        listen = ["{transport}://{HERE}:{port}"]
        [log]
        time_zone = "UTC"
        [state]
        path = "{folder}/state.db"
        commit_interval = 0.02
        [web]
        listen = "{HERE}:0"
    """)


async def test_an_attack_that_is_received_is_counted_like_one_in_a_file(tmp_path: Path) -> None:
    port = free_port()
    configure(tmp_path, port)
    async with start(tmp_path) as pfwatch:
        assert any("STATUS=Watching syslog:" in message for message in pfwatch.manager.heard)
        with socket.create_connection((HERE, port)) as sender:
            sender.sendall(b"".join(b"<22>" + line for line in STORY))
        await pfwatch.until(len(STORY), "pfwatch_lines_total", source="syslog")
        assert await pfwatch.sum_of("postfix_sasl_failures_total") == FAILED
        assert await pfwatch.sum_of("pfwatch_source_up", source="syslog") == 1


async def test_a_port_that_is_taken_is_told_and_pfwatch_runs_on(tmp_path: Path) -> None:
    with socket.create_server((HERE, 0)) as other:
        port = other.getsockname()[1]
        configure(tmp_path, port)
        async with start(tmp_path) as pfwatch:
            await pfwatch.says(f"syslog cannot listen on tcp://127.0.0.1:{port}: another process holds this port")
            assert await pfwatch.sum_of("pfwatch_source_up", source="syslog") == 0
            other.close()
            await pfwatch.says("every source can be read again")
            assert await pfwatch.sum_of("pfwatch_source_up", source="syslog") == 1


async def test_only_what_is_received_is_read_unless_a_log_is_named(tmp_path: Path) -> None:
    configure(tmp_path, free_port())
    async with start(tmp_path) as pfwatch:
        assert not any("mail.log" in line for line in pfwatch.said)


@needs("rsyslogd", "rsyslog")
async def test_every_line_is_counted_once_over_stops_and_reloads_under_load(tmp_path: Path) -> None:
    """Or twice where rsyslog repeats one, once for each end at most."""
    port, count, ends = free_port(), 12_000, 3
    configure(tmp_path, port)
    lines = 0.0
    async with contextlib.AsyncExitStack() as stack:
        daemon = await stack.enter_async_context(rsyslog(shipped("pfwatch.conf", port)))
        logging = asyncio.create_task(daemon.log(0, count))
        for end in range(ends):
            async with start(tmp_path) as pfwatch:
                while await pfwatch.sum_of("pfwatch_lines_total", source="syslog") == lines and lines < count:
                    pass
                if end:
                    pfwatch.process.send_signal(signal.SIGHUP)
                    await pfwatch.says("metrics on ")
                assert await pfwatch.end(signal.SIGTERM) == 0
            async with start(tmp_path, PATH=os.environ["PATH"]) as pfwatch:
                lines = await pfwatch.sum_of("pfwatch_lines_total", source="syslog")
                if end == ends - 1:
                    while (lines := await pfwatch.sum_of("pfwatch_lines_total", source="syslog")) < count:
                        pass
        await logging
    assert count <= lines <= count + 3 * ends
