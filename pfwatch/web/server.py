"""The HTTP side of the daemon: `/metrics`, `/-/healthy`, `/-/ready` and a page that names them.

Enters: settings, the counters, and two questions that answer None or why not. Leaves: HTTP answers.
This file must never know what a metric means, or how ready and healthy are found out.
"""

import asyncio
import errno
import html
import socket
from collections.abc import Callable

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route

import pfwatch
from pfwatch.metrics.counters import Counters
from pfwatch.web.collector import Exposition
from pfwatch.web.connection import KEEP_ALIVE_SECONDS, BoundedProtocol
from pfwatch.web.settings import WebSettings

STOP_SECONDS = 2
HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
PAGES = {"/metrics": "for Prometheus", "/-/healthy": "does it work?", "/-/ready": "has it caught up?"}

Question = Callable[[], str | None]
"""None for yes; else why not, in words for the administrator."""


class WebError(Exception):
    """The HTTP side cannot start; the text says why and what to do."""


class WebServer:
    """Serves in the running event loop until it is stopped."""

    def __init__(self, settings: WebSettings, counters: Counters, ready: Question, healthy: Question) -> None:
        self._settings = settings
        self._exposition = Exposition(counters)
        self._ready = ready
        self._healthy = healthy
        self._encoding = asyncio.Lock()
        self._server: uvicorn.Server | None = None
        self.address: tuple[str, int] = (settings.host, settings.port)
        """Host and port; after `start()` the port that was bound, where the setting is 0."""

    async def start(self) -> None:
        """Listen and serve. Raises `WebError` when the address cannot be had."""
        listener = _listen(self._settings)
        try:
            host, port = listener.getsockname()[:2]
            self.address = (host, port)
            server = uvicorn.Server(_config(self._app()))
            server.config.load()
            server.lifespan = server.config.lifespan_class(server.config)
            # Not serve(): it takes SIGTERM and SIGINT for itself, and wakes up ten times a second.
            await server.startup(sockets=[listener])
        except BaseException:
            listener.close()
            raise
        self._server = server

    async def stop(self) -> None:
        """Answer what has been asked, at most for two seconds, then close every connection."""
        server, self._server = self._server, None
        if server is None:
            return
        for connection in list(server.server_state.connections):
            if isinstance(connection, BoundedProtocol):
                connection.hurry(STOP_SECONDS / 2)  # a client that does not read its answer must not hold us
        await server.shutdown()

    def _app(self) -> Starlette:
        routes = [
            Route("/", self._index),
            Route("/metrics", self._metrics),
            Route("/-/healthy", self._answer_healthy),
            Route("/-/ready", self._answer_ready),
        ]
        app = Starlette(routes=routes, exception_handlers={HTTPException: _refuse})
        app.router.redirect_slashes = False
        return app

    async def _index(self, _request: Request) -> Response:
        items = "".join(f'<li><a href="{path}">{path}</a> {html.escape(text)}</li>' for path, text in PAGES.items())
        page = f'<!doctype html><html lang="en"><meta charset="utf-8"><title>pfwatch</title>\
<h1>pfwatch {html.escape(pfwatch.__version__)}</h1><p>Watches the Postfix of this host.</p><ul>{items}</ul></html>\n'
        return HTMLResponse(page, headers=HEADERS)

    async def _metrics(self, request: Request) -> Response:
        accept = ",".join(request.headers.getlist("accept"))
        accept_encoding = ",".join(request.headers.getlist("accept-encoding"))
        async with self._encoding:  # one at a time: many scrapers at once must not take the interpreter from the parser
            body, headers = await asyncio.to_thread(self._exposition.encode, accept, accept_encoding)
        return Response(body, headers=HEADERS | headers)

    async def _answer_healthy(self, _request: Request) -> Response:
        return _answer("healthy", self._healthy())

    async def _answer_ready(self, _request: Request) -> Response:
        return _answer("ready", self._ready())


def _answer(word: str, reason: str | None) -> Response:
    if reason is None:
        return PlainTextResponse(f"{word}\n", headers=HEADERS)
    return PlainTextResponse(f"not {word}: {reason}\n", 503, headers=HEADERS)


async def _refuse(_request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    text = error.detail if error.status_code != 404 else f"Not Found. Here are: {', '.join(['/', *PAGES])}"
    return PlainTextResponse(f"{text}\n", error.status_code, headers=HEADERS | dict(error.headers or {}))


def _config(app: Starlette) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=BoundedProtocol,
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="error",  # its warnings are about what any stranger can send
        access_log=False,
        proxy_headers=False,
        server_header=False,
        date_header=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=STOP_SECONDS,
    )


def _listen(settings: WebSettings) -> socket.socket:
    host, port = settings.host, settings.port
    if not 0 <= port <= 65535:  # getaddrinfo would take it modulo 65536
        raise WebError(f"cannot serve /metrics on port {port}: [web] listen must be between 1 and 65535")
    try:
        family, _, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE | socket.AI_NUMERICHOST
        )[0]
        return socket.create_server(address[:2], family=family, backlog=128)
    except OSError as error:
        raise WebError(
            f"cannot serve /metrics on {host or '(no host)'} port {port}: {_explain(error, port)}"
        ) from error


def _explain(error: OSError, port: int) -> str:
    if isinstance(error, socket.gaierror):
        return "[web] host must be an address of this machine, not a name; such as 127.0.0.1 or ::1"
    if error.errno == errno.EADDRINUSE:
        return (
            "another process holds this port, perhaps a second pfwatch "
            f"(`ss -ltnp 'sport = :{port}'` names it); stop it, or choose another [web] listen"
        )
    if error.errno == errno.EADDRNOTAVAIL:
        return "this machine does not have that address; correct [web] host (`ip address` lists the addresses)"
    if error.errno in {errno.EACCES, errno.EPERM}:
        return "not permitted; choose a [web] listen of 1024 or above"
    return f"{error.strerror or error}; check [web] host and port"
