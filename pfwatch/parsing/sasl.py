"""smtpd's SASL lines: who could not log in, and whether it was our own authentication server that failed.

Enters: match objects. Leaves: events and rules. This file must never know a session.
"""

import re
from functools import lru_cache
from typing import Literal

from pfwatch.events import (
    AuthBackendFailed,
    AuthCause,
    AuthDetail,
    AuthFailed,
    Envelope,
    Housekeeping,
    Untrusted,
)
from pfwatch.parsing.fragments import CLIENT, client, client_of, untrusted
from pfwatch.parsing.rule import Plain, Rule

_DOVECOT = (
    b"Connection lost to authentication server",
    b"Can't connect to authentication server",
    b"Authentication backend error",
    b"Temporary authentication failure",
)
_CYRUS = b"generic failure", b"remote authentication server unavailable"
_PROTOCOL = (
    b"Invalid authentication mechanism",
    b"Invalid base64 data",
    b"bad protocol / cancel",
    b"no mechanism available",
    b"encryption needed",
    b"another step",
    b"invalid parameter",
)
"""How reasons begin."""


def _auth_failed(envelope: Envelope, found: re.Match[bytes]) -> AuthBackendFailed | AuthFailed:
    """The cause by the reason, the first that fits; a name or none decides where no reason is given."""
    who, method, said, name = found["client"], found["method"], found["reason"], found["username"]
    username = None if name in (None, b"", b"(unavailable)") else untrusted(name)
    backend, cause, reason = _judged(said or b"", name is not None and username is None)
    if backend is not None:
        return AuthBackendFailed(envelope, client_of(who), backend, _method(method), username, reason)
    return AuthFailed(envelope, client_of(who), _method(method), cause, reason, username)


@lru_cache(maxsize=1024)
def _judged(reason: bytes, nameless: bool) -> tuple[Literal["dovecot", "cyrus"] | None, AuthCause, Untrusted]:
    """Whose fault it was: our backend's, or the cause. Servers give few reasons."""
    if reason.startswith(_DOVECOT):
        return "dovecot", "credentials", untrusted(reason)
    if reason.startswith(_CYRUS):
        return "cyrus", "credentials", untrusted(reason)
    cause: AuthCause = "credentials"
    if reason.startswith(_PROTOCOL):
        cause = "protocol"
    elif reason == b"(reason unavailable)":
        reason = b""
        if nameless:
            cause = "protocol"  # Dovecot never saw a name
    return None, cause, untrusted(reason)


def _is_guess(_method: bytes, reason: bytes) -> bool | None:
    """Whether it was refused for what was said of an account. Another failure is no mere count."""
    backend, cause, _ = _judged(reason, False)
    return True if backend is None and cause == "credentials" else None


_method = lru_cache(maxsize=256)(untrusted)


def _auth_aborted(envelope: Envelope, found: re.Match[bytes]) -> AuthFailed:
    return AuthFailed(
        envelope, client(found), untrusted(found["method"]), "aborted", untrusted(b"authentication aborted"), None
    )


_CYRUS_BROKEN = b"cannot connect to saslauthd", b"unable to open"


def _auth_detail(envelope: Envelope, found: re.Match[bytes]) -> AuthBackendFailed | AuthDetail:
    reason = found["reason"]
    if reason.startswith(_CYRUS_BROKEN):
        return AuthBackendFailed(envelope, None, "cyrus", None, None, untrusted(reason))
    return AuthDetail(envelope, untrusted(reason))


def _auth_backend(envelope: Envelope, found: re.Match[bytes]) -> AuthBackendFailed:
    return AuthBackendFailed(envelope, None, "dovecot", None, None, untrusted(found["reason"]))


def _verbose(envelope: Envelope, found: re.Match[bytes]) -> Housekeeping:
    """Only the topic: at Cyrus's highest log level the line holds passwords."""
    return Housekeeping(envelope, "sasl_verbose", untrusted(found["topic"]))


_HEAD = "Nov 22 09:53:31 mx1 postfix/smtpd[229]: "

RULES = (
    Rule(
        name="smtpd-sasl-failed",
        since="2.3",
        example=f"{_HEAD}warning: unknown[192.0.2.7]: SASL LOGIN authentication failed: UGFzc3dvcmQ6, "
        "sasl_username=alice@example.org",
        pattern=rf"warning: {CLIENT}: SASL (?P<method>.{{0,100}}?) authentication failed"
        r"(?:: ?(?P<reason>.*?))??(?:, sasl_username=(?P<username>.*))?",
        words=("warning",),
        build=_auth_failed,
        plain=(
            Plain(
                rf"warning: {CLIENT}: SASL (?P<method>[A-Z0-9-]++) authentication failed: (?P<reason>[^,]*+)"
                r"(?:, sasl_username=(?P<username>(?!\(unavailable\)\Z).++))?",
                varied=True,
                hit=AuthFailed,
                key=("method", "reason"),
                judge=_is_guess,
                typed=("username",),
                failed_login=True,
            ),
        ),
        source="smtpd/smtpd_sasl_glue.c: smtpd_sasl_authenticate",
    ),
    Rule(
        name="smtpd-sasl-aborted",
        since="2.10",
        example=f"{_HEAD}warning: unknown[192.0.2.7]: SASL LOGIN authentication aborted",
        pattern=rf"warning: {CLIENT}: SASL (?P<method>.{{0,100}}?) authentication aborted",
        words=("warning",),
        build=_auth_aborted,
        source="smtpd/smtpd_sasl_glue.c: smtpd_sasl_authenticate",
    ),
    Rule(
        name="smtpd-cyrus-detail",
        since="2.10",
        example=f"{_HEAD}warning: SASL authentication failure: Password verification failed",
        pattern=r"warning: SASL authentication (?:failure|problem): (?P<reason>.*)",
        words=("warning",),
        build=_auth_detail,
        source="xsasl/xsasl_cyrus_log.c: xsasl_cyrus_log",
    ),
    Rule(
        name="smtpd-dovecot-backend",
        since="2.10",
        example=f"{_HEAD}warning: SASL: Connect to Dovecot auth socket 'private/auth' failed: Connection refused",
        pattern=r"warning: SASL: (?P<reason>.*)",
        words=("warning",),
        build=_auth_backend,
        source="xsasl/xsasl_dovecot_server.c",
    ),
    Rule(
        name="smtpd-no-mechanisms",
        since="2.10",
        example=f"{_HEAD}fatal: no SASL authentication mechanisms",
        pattern=r"fatal: (?P<reason>no SASL authentication mechanisms)",
        words=("fatal",),
        build=_auth_backend,
        source="smtpd/smtpd_sasl_glue.c: smtpd_sasl_activate",
    ),
    Rule(
        name="smtpd-dovecot-reply",
        since="2.10",
        example=f"{_HEAD}warning: missing Dovecot server OK username field",
        pattern=r"warning: (?P<reason>missing Dovecot server (?:[^ ]++ )?(?:username|reply) field)",
        words=("warning",),
        build=_auth_backend,
        source="xsasl/xsasl_dovecot_server.c: xsasl_dovecot_parse_reply_args",
    ),
    Rule(
        name="smtpd-cyrus-verbose",
        since="2.10",
        example=f"{_HEAD}SASL authentication debug: DIGEST-MD5 server step 2",
        pattern=r"(?:warning: )?(?P<topic>SASL authentication (?:info|debug|trace|pass)): .*",
        words=("SASL", "warning"),
        build=_verbose,
        source="xsasl/xsasl_cyrus_log.c: xsasl_cyrus_log",
    ),
)
