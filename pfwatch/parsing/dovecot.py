"""Dovecot: who could not log in by IMAP, POP3, submission or ManageSieve.

Enters: match objects. Leaves: events and the rules of the tag `dovecot`. This file must never know a session.

Dovecot says one failure several times. The line that counts is that of the login process when the client leaves: it
has the user, the client's address and how often it tried, whatever Dovecot's settings are. The lines of `auth`, one for
each try and only with `auth_verbose`, belong to it; where they have no session of Dovecot they belong to Postfix's own
`auth_failed`, because the question came from smtpd.

What stands in `user=<...>` was typed by the client, and may look like the rest of the line. It ends where the last tail
of Dovecot's own begins. A long line can have lost its true tail behind a typed one: its address is not believed.
"""

import re
from typing import Final, Literal

import msgspec

from pfwatch.events import AuthCause, AuthDetail, Client, DovecotAuthFailed, Envelope
from pfwatch.parsing.fragments import address, untrusted
from pfwatch.parsing.rule import Rule

_PROTOCOLS: dict[bytes, Literal["imap", "pop3", "submission", "sieve"]] = {
    b"imap-login": "imap",
    b"pop3-login": "pop3",
    b"submission-login": "submission",
    b"managesieve-login": "sieve",
}
_CAUSES: tuple[tuple[bytes, AuthCause], ...] = (
    (b"tried to use", "protocol"),
    (b"sent invalid base64", "protocol"),
    (b"client didn't finish", "aborted"),
    (b"disconnected while authenticating", "aborted"),
)
_SHORTEST_CUT = 1000
"""No syslog cuts a line that is shorter."""
_MOST_ATTEMPTS = 1000
"""Dovecot ends a connection long before."""


def _failed(envelope: Envelope, found: re.Match[bytes]) -> DovecotAuthFailed:
    """One line for all the tries of a connection: it stands for each of them."""
    reason, user, attempts = found["reason"], found["user"], found["attempts"]
    if attempts:
        weight = envelope.weight * min(int(attempts[:9]), _MOST_ATTEMPTS)
        envelope = msgspec.structs.replace(envelope, weight=weight)
    believed = len(found[0]) < _SHORTEST_CUT
    return DovecotAuthFailed(
        envelope,
        Client(address(found["ip"]) if believed else None, None, None),
        _PROTOCOLS[found["process"]],
        untrusted(found["method"]),
        next((cause for words, cause in _CAUSES if reason.startswith(words)), "credentials"),
        untrusted(reason),
        untrusted(user) if user else None,
    )


def _detail(envelope: Envelope, found: re.Match[bytes]) -> AuthDetail:
    part_of = "dovecot_auth_failed" if found["session"] or found["later_session"] else "auth_failed"
    return AuthDetail(
        msgspec.structs.replace(envelope, part_of=part_of), untrusted(found["reason"] or found["later_reason"])
    )


_TRIED = (
    r"(?:(?:auth failed|authorization failed|user disabled|password expired), (?P<attempts>[1-9][0-9]*+) attempts"
    r"(?: in [0-9]++ secs)?"
    r"|tried to use (?:disallowed|disabled) plaintext auth|tried to use unsupported auth mechanism"
    r"|sent invalid base64 in response"
    r"|client didn't finish SASL auth, waited [0-9]++ secs|disconnected while authenticating, waited [0-9]++ secs)"
)
_TAIL = (
    r"(?:, method=(?P<method>[A-Za-z0-9_-]{1,40}))?, rip=(?P<ip>[0-9A-Fa-f:.]++), lip=[0-9A-Fa-f:.]++"
    r"(?:, mpid=[0-9]++)?(?:, (?:TLS|secured)[^,<>=]*+)?(?:, session=<[A-Za-z0-9+/=]++>)?"
)
"""In the order of Dovecot's own login_log_format_elements. Nothing that a client types stands in it."""

_REFUSAL = (
    r"(?:Password mismatch|[Uu]nknown user|invalid credentials|[Aa]ccount is (?:disabled|locked)|Password expired"
    r"|Authentication failure due to policy server refusal|pam_authenticate\(\) failed|pam_acct_mgmt\(\) failed"
    r"|[Ii]nvalid input|Empty username|Username character disallowed by auth_username_chars"
    r"|Invalid base64 data in (?:initial|continued) response|Request timed out|Password validity)"
)

RULES: Final = (
    Rule(
        name="dovecot-login-failed",
        since="2.10",  # Dovecot 2.2; `Login aborted` and the word in parentheses since 2.4
        example="Nov 22 10:29:17 mx1 dovecot: imap-login: Disconnected: Connection closed (auth failed, 3 attempts in "
        "2 secs): user=<carol@example.org>, method=PLAIN, rip=192.0.2.7, lip=198.51.100.10, session=<kaD08tpgT4VkV00r>",
        pattern=r"(?P<process>(?:imap|pop3|submission|managesieve)-login): (?:Info: )?"
        r"(?:Disconnected|Aborted login|Login aborted)(?::? [^<>]{1,300}?)?"
        rf" \((?P<reason>{_TRIED})\)(?: \([a-z_]++\))?: user=<(?P<user>.*)>{_TAIL}",
        words=tuple(process.decode() for process in _PROTOCOLS),
        build=_failed,
        source="Dovecot: login-common/client-common.c: client_get_extra_disconnect_reason",
    ),
    Rule(
        name="dovecot-auth-detail",
        since="2.10",
        example="Nov 22 10:29:15 mx1 dovecot: auth: passwd-file(carol@example.org,192.0.2.7,<l2308tpgo8ZkV00r>): "
        "Password mismatch",
        # What was typed stands between the parentheses, and behind the reason (also the password, at the
        # administrator's wish): only the reason is kept.
        pattern=r"(?:auth|auth-worker(?:\([0-9]++\))?): (?:Info: )?"
        r"(?:conn unix:[^<>]{1,100}: auth-worker<[0-9]++>: )?[a-z0-9-]++\(.*?(?P<session>,<[A-Za-z0-9+/=]++>)?\): "
        rf"(?P<reason>{_REFUSAL}).*|auth(?:-worker)?\(.*?,[0-9A-Fa-f:.]++,sasl:[a-z0-9-]++\)"
        r"(?P<later_session><[A-Za-z0-9+/=]++>)?: (?:[a-z0-9-]++(?:\([a-z0-9-]++\))?: )?"
        rf"(?P<later_reason>{_REFUSAL}).*",
        words=("auth", "auth-worker"),
        build=_detail,
        source="Dovecot: auth/auth-request.c: auth_request_log_password_mismatch",
    ),
)
