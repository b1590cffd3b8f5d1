"""One SMTP conversation with one server, step by step, so that a failure can name its step.

Enters: the bytes of a mail, its sender and recipients. Leaves: who was refused, and a transcript without passwords.
This file must never know what the mail is about or which server comes next.
"""

import contextlib
import ssl
from collections.abc import Awaitable
from ipaddress import ip_address

import aiosmtplib
import msgspec

from pfwatch.alerting.settings import SmtpServer
from pfwatch.alerting.visible import visible

_QUIT_TIMEOUT = 2.0
"""The mail is in the server's hands by then."""


class Refusal(msgspec.Struct, frozen=True):
    """A recipient whom the server did not take."""

    recipient: str
    message: str
    temporary: bool


class SmtpError(Exception):
    """The conversation failed for every recipient."""

    def __init__(self, message: str, *, temporary: bool, unreachable: bool) -> None:
        super().__init__(message)
        self.message = message
        self.temporary = temporary
        self.unreachable = unreachable
        """It failed before the mail was offered."""


class _HandshakeError(SmtpError):
    """STARTTLS was offered and did not work."""


class Conversation:
    """Used once."""

    def __init__(self, server: SmtpServer, host_name: str) -> None:
        self._server = server
        self._host_name = host_name
        self._where = f"{server.host}:{server.port}"
        self.transcript: list[str] = []

    async def deliver(self, mail: bytes, sender: str, recipients: list[str]) -> list[Refusal]:
        """Who of `recipients` was refused; the others have the mail. Raises `SmtpError` when nobody has it."""
        try:
            return await self._talk(mail, sender, recipients, encrypt=True)
        except _HandshakeError:
            if self._server.tls != "opportunistic" or self._server.username is not None:
                raise  # Who asked for encryption, or has a password to lose, does not go on without it.
            self.transcript.append("* opportunistic: once more without TLS")
            return await self._talk(mail, sender, recipients, encrypt=False)

    async def _talk(self, mail: bytes, sender: str, recipients: list[str], *, encrypt: bool) -> list[Refusal]:
        client = aiosmtplib.SMTP(
            hostname=self._server.host,
            port=self._server.port,
            local_hostname=self._host_name,
            timeout=self._server.timeout,
            use_tls=self._server.tls == "implicit",
            start_tls=False,
            tls_context=_tls_context(self._server),
        )
        try:
            await self._step("connect", client.connect())
            await self._step(f"EHLO {self._host_name}", client.ehlo())
            if encrypt:
                await self._encrypt(client)
            await self._login(client)
            refused = await self._hand_over(client, mail, sender, recipients)
            with contextlib.suppress(aiosmtplib.SMTPException, OSError):
                await client.quit(timeout=min(_QUIT_TIMEOUT, self._server.timeout))
            return refused
        finally:
            client.close()

    async def _encrypt(self, client: aiosmtplib.SMTP) -> None:
        if self._server.tls not in ("opportunistic", "starttls"):
            return
        if not client.supports_extension("starttls"):
            if self._server.tls == "starttls":
                raise self._error(
                    "STARTTLS", 'the server does not offer it. Use its submission port, or tls = "implicit" on port 465'
                )
            return
        await self._step("STARTTLS", client.starttls())
        await self._step(f"EHLO {self._host_name}", client.ehlo())

    async def _login(self, client: aiosmtplib.SMTP) -> None:
        server = self._server
        if server.username is None:
            return
        if not client.is_connected:
            raise self._error("login", "the server closed the connection")
        encrypted = client.get_transport_info("sslcontext") is not None
        if not encrypted and server.tls == "opportunistic" and not _is_this_machine(client):
            raise self._error(
                "login", 'the password would travel unencrypted, because the server offers no TLS. Set tls = "starttls"'
            )
        await self._step("login", client.login(server.username, server.password or ""))

    async def _hand_over(
        self, client: aiosmtplib.SMTP, mail: bytes, sender: str, recipients: list[str]
    ) -> list[Refusal]:
        await self._step(f"MAIL FROM:<{sender}>", client.mail(sender), offered=True)
        refused: list[Refusal] = []
        for recipient in recipients:
            try:
                await self._step(f"RCPT TO:<{recipient}>", client.rcpt(recipient), offered=True)
            except SmtpError as error:
                if not client.is_connected:
                    raise
                refused.append(Refusal(recipient, error.message, error.temporary))
        if len(refused) < len(recipients):
            await self._step("DATA", client.data(mail), offered=True)
        return refused

    async def _step(self, step: str, doing: Awaitable[aiosmtplib.SMTPResponse], *, offered: bool = False) -> None:
        """Waits for one step and writes it down. `offered`: the step is about the mail, no longer about the server."""
        self.transcript.append(f"> {visible(step)}")
        try:
            reply = await doing
        except aiosmtplib.SMTPResponseException as error:
            answer = f"{error.code} {visible(' '.join(error.message.split()))}"
            self.transcript.append(f"< {answer}")
            temporary = not offered or error.code < 500
            raise self._error(step, f"the server answered {answer}", offered=offered, temporary=temporary) from error
        except (aiosmtplib.SMTPException, OSError, ValueError) as error:
            words = _words(error, self._server)
            self.transcript.append(f"* {words}")
            # An address that cannot be written in ASCII does not get better by waiting; an OSError may, even where it
            # is a ValueError too (a certificate that cannot be verified is both).
            temporary = isinstance(error, (aiosmtplib.SMTPException, OSError))
            raise self._error(step, words, offered=offered, temporary=temporary) from error
        self.transcript.extend(f"< {reply.code} {visible(line)}" for line in reply.message.split("\n"))

    def _error(self, step: str, words: str, *, offered: bool = False, temporary: bool = True) -> SmtpError:
        kind = _HandshakeError if step == "STARTTLS" else SmtpError
        advice = "" if offered else _ADVICE.get(step, "")
        return kind(f"{self._where}: {step}: {words}{advice}", temporary=temporary, unreachable=not offered)


_ADVICE = {
    "connect": ". Check [mail] host, port and tls, and that the mail server runs",
    "login": ". Check [mail] username and password_file",
}


def _words(error: Exception, server: SmtpServer) -> str:
    """What happened, without a class name: the cause beneath what aiosmtplib made of it."""
    for cause in (error, error.__cause__):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return (
                f"the certificate of {server.host} is not trusted: {cause.verify_message}. [mail] host has to be the "
                "name in the certificate; a private authority is named by the environment variable SSL_CERT_FILE"
            )
        if isinstance(cause, ssl.SSLError):
            return f"the TLS handshake failed: {cause.reason or cause}. Is it the port for this tls setting?"
    if isinstance(error, TimeoutError):
        return f"no answer within {server.timeout:g} s"
    return visible(str(error)) or type(error).__name__


def _tls_context(server: SmtpServer) -> ssl.SSLContext | None:
    if server.tls == "none":
        return None
    context = ssl.create_default_context()
    if server.tls == "opportunistic":
        # Encryption that anybody may answer is still better than none; who cares about more sets starttls.
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _is_this_machine(client: aiosmtplib.SMTP) -> bool:
    return ip_address(client.get_transport_info("peername")[0].partition("%")[0]).is_loopback
