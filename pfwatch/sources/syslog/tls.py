"""Who a syslog receiver is over TLS, and which clients it takes (RFC 5425).

Enters: settings. Leaves: an `ssl.SSLContext`, and a verdict on a client's certificate. This file must never know a
message.
"""

import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pfwatch.sources.errors import explain
from pfwatch.sources.settings import SyslogSettings


class TlsError(Exception):
    """TLS cannot be offered; the text says why and what to do."""


def server_context(settings: SyslogSettings) -> ssl.SSLContext:
    """TLS 1.2 or later, with the certificate of the settings. Raises TlsError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    # A sender never reads, so a ticket would lie before the end of the connection, and rsyslog not see it in time.
    context.num_tickets = 0
    for path in filter(None, (settings.certificate, settings.key, settings.client_ca)):
        try:
            Path(path).read_bytes()
        except OSError as error:
            raise TlsError(f"{path} {explain(path, error)}") from None
    try:
        # Without a function that answers, OpenSSL would ask for a password on the terminal.
        context.load_cert_chain(settings.certificate, settings.key, password=lambda: "")
    except (ssl.SSLError, ValueError) as error:
        raise TlsError(_explain(settings, error)) from None
    if settings.client_ca:
        try:
            context.load_verify_locations(settings.client_ca)
        except ssl.SSLError:
            raise TlsError(f"{settings.client_ca} has no certificate in it; [syslog] client_ca takes PEM") from None
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def _explain(settings: SyslogSettings, error: Exception) -> str:
    if isinstance(error, ssl.SSLError) and error.reason == "KEY_VALUES_MISMATCH":
        return f"the key {settings.key} does not belong to the certificate {settings.certificate}"
    if "ENCRYPTED" in Path(settings.key).read_text("utf-8", "replace"):
        return f"the key {settings.key} is encrypted; write it without a password: openssl pkey -in KEY -out NEWKEY"
    return f"{settings.certificate} and {settings.key} must be a certificate and its private key, in PEM"


def refused_name(certificate: Mapping[str, Any] | None, allowed: tuple[str, ...]) -> str | None:
    """The names in a client's certificate where none is allowed; None where one is, or any."""
    if not allowed:
        return None
    named = (certificate or {}).get("subjectAltName", ())
    names = [str(name).lower() for kind, name in named if kind in {"DNS", "IP Address"}]
    if any(_is_allowed(name, one.lower()) for name in names for one in allowed):
        return None
    return ", ".join(names[:5]) or "no name at all"


def _is_allowed(name: str, allowed: str) -> bool:
    if allowed.startswith("*."):
        label, dot, domain = name.partition(".")
        return bool(label and dot) and domain == allowed[2:]
    return name == allowed
