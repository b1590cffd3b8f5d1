# ruff: noqa: ARG002  # aiosmtpd calls the handlers with all of these
"""A real SMTP server for the tests of the mail channel, in the test's own event loop."""

import asyncio
import contextlib
import ssl
import warnings
from collections.abc import AsyncIterator
from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import default
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from pfwatch.alerting.settings import SmtpServer


class Postmaster:
    """Takes mail, or answers what the test wants to hear."""

    def __init__(self) -> None:
        self.mails: list[EmailMessage] = []
        self.envelopes: list[Envelope] = []
        self.hellos: list[str] = []
        self.encrypted: list[bool] = []
        self.logins: list[str] = []
        self.answers: dict[str, list[str]] = {}
        """By recipient, or `DATA`: one answer for each time, then 250 again."""
        self.arrived = asyncio.Event()

    def _answer(self, key: str) -> str | None:
        return self.answers[key].pop(0) if self.answers.get(key) else None

    async def handle_EHLO(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, hostname: str, responses: list[str]
    ) -> list[str]:
        session.host_name = hostname
        self.hellos.append(hostname)
        return responses

    async def handle_RCPT(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        answer = self._answer(address)
        if answer is None:
            envelope.rcpt_tos.append(address)
        return answer or "250 2.1.5 Ok"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        answer = self._answer("DATA")
        if answer is None:
            assert isinstance(envelope.content, bytes)
            self.mails.append(BytesParser(_class=EmailMessage, policy=default).parsebytes(envelope.content))
            self.envelopes.append(envelope)
            assert server.transport is not None
            self.encrypted.append(server.transport.get_extra_info("sslcontext") is not None)
            self.arrived.set()
        return answer or "250 2.0.0 Ok"

    def authenticate(
        self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: LoginPassword
    ) -> AuthResult:
        self.logins.append(f"{mechanism} {data.login.decode()}")
        return AuthResult(success=data.password == b"right", handled=False)


class Connection(SMTP):
    """One client's connection, which can be ended."""

    def __init__(self, postmaster: Postmaster, **options: Any) -> None:
        with warnings.catch_warnings():
            # It warns about logins without TLS, which on loopback is what is to be tested.
            warnings.simplefilter("ignore", UserWarning)
            super().__init__(postmaster, hostname="mail.example.net", **options)

    async def end(self) -> None:
        # After a failed handshake the protocol is left with the transport from before it.
        for transport in (self.transport, self._original_transport):
            if transport is not None:
                transport.close()
        if self._handler_coroutine is not None:
            self._handler_coroutine.cancel()
            await asyncio.wait([self._handler_coroutine], timeout=5)
        await asyncio.sleep(0)  # The transports close their sockets in the loop's next turn.


@contextlib.asynccontextmanager
async def mail_server(
    postmaster: Postmaster,
    *,
    starttls: ssl.SSLContext | None = None,
    implicit: ssl.SSLContext | None = None,
    login: bool = False,
    port: int = 0,
) -> AsyncIterator[SmtpServer]:
    """Serves on loopback; gives the settings that reach it."""
    loop = asyncio.get_running_loop()
    connections: list[Connection] = []

    def accept() -> Connection:
        connection = Connection(
            postmaster,
            tls_context=starttls,
            authenticator=postmaster.authenticate,
            auth_required=login,
            auth_require_tls=False,
            loop=loop,
        )
        connections.append(connection)
        return connection

    server = await loop.create_server(accept, "127.0.0.1", port, ssl=implicit)
    try:
        yield SmtpServer(host="localhost", port=server.sockets[0].getsockname()[1], tls="none", timeout=5.0)
    finally:
        server.close()
        for connection in connections:
            await connection.end()
