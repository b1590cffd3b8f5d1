"""The HTTP side, over real sockets."""

import asyncio
import contextlib
import shutil
import signal
import socket
import subprocess
from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from pfwatch.metrics.catalogue import METRICS
from pfwatch.metrics.counters import Counters
from pfwatch.web import connection
from pfwatch.web.server import WebError, WebServer
from pfwatch.web.settings import WebSettings

OPENMETRICS = "application/openmetrics-text; version=1.0.0"
HALF_A_REQUEST = b"GET /metrics HTTP/1.1\r\nHost: x\r\n"


class Site:
    """A running server, what it says of itself, and a client."""

    def __init__(self) -> None:
        self.counters = Counters()
        self.not_ready: str | None = None
        self.not_healthy: str | None = None
        self.writers: list[asyncio.StreamWriter] = []
        self.server = WebServer(
            WebSettings(port=0), self.counters, lambda: self.not_ready, lambda: self.not_healthy
        )  # fmt: skip

    async def request(self, path: str, method: str = "GET", **headers: str) -> httpx.Response:
        host, port = self.server.address
        async with httpx.AsyncClient(base_url=f"http://{host}:{port}", trust_env=False, timeout=10) as client:
            return await client.request(method, path, headers=headers)

    async def connect(self, sent: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection(*self.server.address)
        self.writers.append(writer)
        writer.write(sent)
        await writer.drain()
        return reader, writer


@pytest_asyncio.fixture
async def site() -> AsyncIterator[Site]:
    site = Site()
    await site.server.start()
    try:
        yield site
    finally:
        await site.server.stop()
        for writer in site.writers:
            writer.close()
        for writer in site.writers:
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()


async def test_only_loopback_is_served_by_default(site: Site) -> None:
    host, port = site.server.address
    assert host == "127.0.0.1"
    assert port > 0


async def test_metrics_are_prometheus_text_with_every_metric_of_the_catalogue(site: Site) -> None:
    site.counters.add("postfix_relay_denied_total", ("postfix",), 3)
    site.counters.observe("postfix_smtp_delivery_delay_seconds", ("transmission",), 5, 2)
    answer = await site.request("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=")
    families = {family.name for family in parse_text(answer.text)}
    assert {metric.name.removesuffix("_total") for metric in METRICS} <= families
    assert 'postfix_relay_denied_total{service="postfix"} 3.0\n' in answer.text
    assert 'postfix_smtp_delivery_delay_seconds_bucket{le="1.0",stage="transmission"} 0.0\n' in answer.text
    assert 'postfix_smtp_delivery_delay_seconds_bucket{le="10.0",stage="transmission"} 2.0\n' in answer.text
    assert 'postfix_smtp_delivery_delay_seconds_bucket{le="+Inf",stage="transmission"} 2.0\n' in answer.text
    assert 'postfix_smtp_delivery_delay_seconds_sum{stage="transmission"} 10.0\n' in answer.text
    assert "postfix_smtp_status_deferred 0.0\n" in answer.text
    assert 'pfwatch_build_info{python="' in answer.text
    assert "process_resident_memory_bytes " in answer.text
    assert "_created" not in answer.text


async def test_openmetrics_is_served_to_whom_asks_for_it(site: Site) -> None:
    site.counters.add("postfix_relay_denied_total", ("postfix",), 3)
    site.counters.add("pfwatch_lines_total", ('/var/log/a "quoted"\\name\n', "events"), 9)
    answer = await site.request("/metrics", Accept=OPENMETRICS)
    assert answer.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    families = {family.name: family for family in parse_openmetrics(answer.text)}  # type: ignore[no-untyped-call]
    values = {tuple(s.labels.values()): s.value for s in families["postfix_relay_denied"].samples}
    assert values == {("postfix",): 3}
    assert ('/var/log/a "quoted"\\name\n', "events", 9) in {
        (s.labels["source"], s.labels["fate"], s.value) for s in families["pfwatch_lines"].samples
    }
    assert families["postfix_smtp_status_deferred"].type == "unknown"


async def test_prometheus_own_linter_finds_nothing(site: Site) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed (Debian package prometheus)")
    for source in ("pfwatch_source_up", "pfwatch_source_lag_seconds", "pfwatch_source_last_record_timestamp_seconds"):
        site.counters.set(source, ("stdin",), 1)
    text = (await site.request("/metrics")).content
    checked = await asyncio.to_thread(
        subprocess.run, [promtool, "check", "metrics"], input=text, capture_output=True, timeout=30, check=False
    )
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")


async def test_metrics_are_compressed_for_whom_accepts_it(site: Site) -> None:
    packed = await site.request("/metrics", **{"Accept-Encoding": "deflate, gzip;q=0.5"})
    plain = await site.request("/metrics", **{"Accept-Encoding": "gzip;q=0, identity"})
    assert packed.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in plain.headers
    assert int(packed.headers["content-length"]) * 5 < int(plain.headers["content-length"])
    assert "postfix_smtpd_connects_total 0.0\n" in packed.text


async def test_healthy_and_ready_say_why_not(site: Site) -> None:
    for path, word in (("/-/healthy", "healthy"), ("/-/ready", "ready")):
        answer = await site.request(path)
        assert (answer.status_code, answer.text) == (200, f"{word}\n")
    site.not_ready, site.not_healthy = "still reading /var/log/mail.log.1", "the state database is read-only"
    ready, healthy = await site.request("/-/ready"), await site.request("/-/healthy")
    assert (ready.status_code, ready.text) == (503, "not ready: still reading /var/log/mail.log.1\n")
    assert (healthy.status_code, healthy.text) == (503, "not healthy: the state database is read-only\n")
    assert ready.headers["content-type"].startswith("text/plain")


async def test_the_first_page_names_the_others(site: Site) -> None:
    answer = await site.request("/")
    assert answer.headers["content-type"].startswith("text/html")
    assert all(f'href="{path}"' in answer.text for path in ("/metrics", "/-/healthy", "/-/ready"))


async def test_head_has_the_headers_without_the_body(site: Site) -> None:
    answer = await site.request("/metrics", "HEAD", **{"Accept-Encoding": "identity"})
    assert (answer.status_code, answer.content) == (200, b"")
    assert int(answer.headers["content-length"]) > 10_000


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"])
async def test_no_other_method_is_allowed(site: Site, method: str) -> None:
    answer = await site.request("/metrics", method)
    assert answer.status_code == 405
    assert set(answer.headers["allow"].split(", ")) == {"GET", "HEAD"}


@pytest.mark.parametrize("path", ["/metrics/", "/etc/passwd", "/%00", "/-/"])
async def test_an_unknown_page_is_told_in_plain_text(site: Site, path: str) -> None:
    answer = await site.request(path)
    assert answer.status_code == 404
    assert answer.headers["content-type"].startswith("text/plain")
    assert "/metrics" in answer.text
    assert "passwd" not in answer.text


async def test_a_port_in_use_is_explained() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        server = WebServer(WebSettings(port=port), Counters(), lambda: None, lambda: None)
        with pytest.raises(WebError) as caught:
            await server.start()
    text = str(caught.value)
    assert f"127.0.0.1 port {port}" in text
    assert "another process holds this port" in text
    assert "[web] listen" in text
    await server.stop()


@pytest.mark.parametrize(
    ("host", "port", "words"),
    [
        ("mail.example.org", 0, "[web] host must be an address"),
        ("", 0, "[web] host must be an address"),
        ("192.0.2.1", 0, "does not have that address"),
        ("127.0.0.1", 70_000, "between 1 and 65535"),
    ],
)
async def test_an_address_that_cannot_be_had_is_explained(host: str, port: int, words: str) -> None:
    server = WebServer(WebSettings(host=host, port=port), Counters(), lambda: None, lambda: None)
    with pytest.raises(WebError) as caught:
        await server.start()
    assert words in str(caught.value)


@pytest.mark.parametrize("clients", [50, 150])
async def test_half_open_connections_do_not_stop_a_scrape(site: Site, clients: int) -> None:
    for _ in range(clients):
        await site.connect(HALF_A_REQUEST)
    assert (await site.request("/metrics")).status_code == 200


async def test_beyond_the_limit_the_connection_that_waits_longest_gives_way(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "MAX_CONNECTIONS", 2)
    clients = [await site.connect(HALF_A_REQUEST) for _ in range(2)]
    clients.append(await site.connect(b"GET /-/ready HTTP/1.1\r\nHost: x\r\n\r\n"))
    assert await asyncio.wait_for(clients[0][0].read(), 5) == b""
    clients[1][1].write(b"\r\n")
    for reader, _ in clients[1:]:
        assert (await asyncio.wait_for(reader.readline(), 5)) == b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize("sent", [b"", HALF_A_REQUEST, b"GET /-/ready HTTP/1.1\r\nHost: x\r\n\r\nGET /"])
async def test_a_client_that_never_finishes_its_request_is_cut(
    site: Site, monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    monkeypatch.setattr(connection, "REQUEST_SECONDS", 0.05)
    monkeypatch.setattr(connection, "KEEP_ALIVE_SECONDS", 0)
    reader, _ = await site.connect(sent)
    with contextlib.suppress(ConnectionResetError):
        await asyncio.wait_for(reader.read(), 5)


async def test_rubbish_is_answered_with_400_and_the_server_goes_on(site: Site) -> None:
    reader, _ = await site.connect(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\r\n\r\n")
    assert (await asyncio.wait_for(reader.read(), 5)).startswith(b"HTTP/1.1 400 ")
    assert (await site.request("/-/ready")).status_code == 200


async def test_counters_may_grow_while_they_are_scraped(site: Site) -> None:
    async def grow() -> None:
        for number in range(3000):
            site.counters.add("pfwatch_subjects_evicted_total", (f"rule{number % 40}",))
            site.counters.add("postfix_rejects_total", (f"service{number}", "RCPT", "rbl"))
            if number % 100 == 0:
                await asyncio.sleep(0)

    answers, _ = await asyncio.gather(asyncio.gather(*(site.request("/metrics") for _ in range(5))), grow())
    assert [answer.status_code for answer in answers] == [200] * 5


async def test_stop_frees_the_port_and_starting_again_serves_on(site: Site) -> None:
    await site.connect(HALF_A_REQUEST)
    address = site.server.address
    await asyncio.wait_for(site.server.stop(), 10)
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(*address)
    await site.server.start()
    assert (await site.request("/-/ready")).status_code == 200


async def test_the_signals_stay_with_the_daemon() -> None:
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    site = Site()
    await site.server.start()
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before
    await site.server.stop()
