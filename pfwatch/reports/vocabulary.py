"""The closed words of events in the words of a person, and whose text an untrusted field holds.

Enters: nothing. Leaves: tables by word, which complete the sentences of `sentences`. The tests hold them against the
words of `pfwatch.events`. This file must never know a sentence.
"""

from collections.abc import Mapping
from typing import Final

AUTH_CAUSES: Final[Mapping[str, str]] = {
    "credentials": "the name or the password was wrong",
    "protocol": "the exchange broke the rules, so that no password was tried",
    "aborted": "the client broke the exchange off",
}

CATEGORIES: Final[Mapping[str, str]] = {
    "protocol": "it broke the SMTP protocol",
    "unknown_sender": "the sender's address does not exist here",
    "unknown_user": "the recipient does not exist here",
    "rbl": "a DNS block list names its address",
    "sender_mismatch": "the login may not use this sender address",
    "size": "the message is too large",
    "storage": "our own disk is too full",
    "lookup_failure": "a table of ours could not be asked",
    "configuration": "our own configuration has a problem",
    "client_dns": "its address has no confirmed name in the DNS",
    "syntax": "an address is not complete",
    "helo": "the name that it gave in HELO or EHLO is not acceptable",
    "sender_domain": "the sender's domain does not exist or takes no mail",
    "recipient_domain": "the recipient's domain does not exist or takes no mail",
    "unverified": "an address could not be verified",
    "pipelining": "it sent commands before they were allowed",
    "tls_required": "it has to use TLS",
    "greylist": "it is unknown yet and should come again (greylisting)",
    "spf": "the SPF record of the sender's domain does not allow it",
    "rate": "postscreen has too many connections",
    "too_many_recipients": "the message has too many recipients",
    "access": "access is denied to it",
    "content": "of the message's content",
    "policy": "an access table or a policy service says so",
    "other": "of a reason that is none of the usual ones",
}
"""Behind "because"."""

TLS_ERRORS: Final[Mapping[str, str]] = {
    "no_shared_cipher": "the two sides have no cipher in common",
    "wrong_version": "what came was no TLS, or of a version that is not allowed",
    "unsupported_protocol": "the other side speaks only versions of TLS that are too old",
    "http_request": "the other side spoke HTTP",
    "unknown_ca": "the other side does not trust the authority that signed our certificate",
    "bad_certificate": "a certificate was not accepted",
    "no_client_certificate": "the client has no certificate and needs one",
    "certificate_expired": "a certificate has expired",
    "handshake_failure": "the two sides found no settings in common",
    "packet_too_long": "what came was no TLS",
    "unexpected_eof": "the other side hung up in the middle",
    "lost_connection": "the connection was lost",
    "reset": "the connection was reset",
    "timeout": "the other side took too long",
    "other": "the TLS library gives a reason that is none of the usual ones",
}

POSTSCREEN_TESTS: Final[Mapping[str, str]] = {
    "connect": "connected to postscreen, which tests clients before Postfix talks to them",
    "pass_new": "passed every test of postscreen and may talk to Postfix",
    "pass_old": "has passed the tests of postscreen before and may talk to Postfix",
    "allowlisted": "is on postscreen's allow list and may talk to Postfix at once",
    "denylisted": "is on postscreen's deny list",
    "allowlist_veto": "is on postscreen's allow list, but did not talk to the primary MX first",
    "pregreet": "spoke before it was its turn, as spam programs do",
    "dnsbl": "is on DNS block lists",
    "hangup": "hung up during the tests of postscreen",
    "pipelining": "sent several commands at once without being allowed to",
    "non_smtp": "sent something that is no SMTP command",
    "bare_newline": "ended a line without a carriage return, as no mail server does",
    "time_limit": "took too long for a command",
    "count_limit": "sent too many commands",
    "length_limit": "sent a command that is too long",
    "data_without_rcpt": "sent DATA without a valid recipient",
    "disconnect": "disconnected from postscreen",
    "busy": "was turned away because postscreen has too many connections",
}
"""Behind the client."""

VIOLATIONS: Final[Mapping[str, str]] = {
    "pipelining": "sent commands before they were allowed (pipelining)",
    "non_smtp": "sent something that is no SMTP command",
    "bare_lf": "ended a line without a carriage return",
    "long_line": "sent a line that is too long",
    "bad_address": "gave an address that is none",
    "bad_bdat": "gave a BDAT command that is none",
    "bad_utf8": "sent text that is no valid UTF-8",
}

RATES: Final[Mapping[str, str]] = {
    "connection_rate": "new connections",
    "connection_count": "connections at the same time",
    "message_rate": "messages",
    "recipient_rate": "recipients",
    "tls_rate": "new TLS sessions",
    "auth_rate": "login attempts",
    "trace_rate": "trace requests",
    "cache_size": "clients that anvil remembers",
}

POLICIES: Final[Mapping[str, str]] = {
    "required": "our configuration asks for TLS",
    "dane": "the domain's DANE records ask for it",
    "mta_sts": "the domain's MTA-STS policy asks for it",
    "requiretls": "the sender asked for it (REQUIRETLS)",
    "verify": "the server's certificate has to be verified",
}

FAILURES: Final[Mapping[str, str]] = {
    "auth": "our login at the other server failed",
    "tls": "TLS with the other server failed",
    "connection": "the other server could not be reached, or the connection broke",
    "dns": "the DNS has no usable answer for the domain",
    "remote": "the other server refused it",
    "local": "a problem on this server",
}

PROBLEMS: Final[Mapping[str, str]] = {
    "started": "Postfix or a part of it started",
    "stopped": "Postfix or a part of it stopped",
    "reloaded": "Postfix read its configuration again",
    "process_limit": "A service has reached its process limit: clients have to wait",
    "throttled": "A service fails at its start, and master tries it only now and then",
    "child_exit": "A process of Postfix ended with an error",
    "child_signal": "A process of Postfix was killed by a signal",
    "fatal": "A process of Postfix gave up because of an error",
    "panic": "A process of Postfix found a bug in itself and gave up",
    "disk_full": "The queue's disk is too full",
    "queue_write": "A message could not be written to the queue",
    "map_error": "A table could not be opened or asked",
    "ipc_error": "A process of Postfix could not talk to another",
    "policy_down": "A policy service does not answer",
    "milter_down": "A milter does not answer",
    "proxy_down": "A content filter does not answer",
    "permissions": "A file has the wrong owner or permissions",
    "config_warning": "The configuration has something that is not as it should be",
    "compatibility": "Postfix runs with settings of an older version",
    "other": "Postfix says something of its own state",
}

UNTRUSTED: Final[Mapping[str, str]] = {
    "method": "typed by the client",
    "username": "typed by the client",
    "helo": "typed by the client",
    "sample": "sent by the client",
    "sender": "typed by whoever sends the mail",
    "recipient": "typed by whoever sends the mail",
    "orig_recipient": "typed by whoever sends the mail",
    "sasl_sender": "typed by whoever sends the mail",
    "message_id": "part of the mail",
    "hostname": "from the DNS, where the address's owner writes it",
    "text": "may quote what somebody outside typed",
    "reason": "may quote what somebody outside typed",
}
"""Field -> why it may say anything."""

UNTRUSTED_OF: Final[Mapping[tuple[str, str], str]] = {
    ("delivery", "text"): "may quote another server or program",
    ("delivery_attempted", "reason"): "may quote another server or program",
    ("outbound_auth_failed", "reason"): "may quote another server or program",
    ("content_action", "text"): "quotes the mail",
    ("unsupported", "text"): "not understood, so nothing in it is trusted",
    ("foreign", "text"): "another program's words",
    ("malformed", "text"): "whoever wrote it",
}
"""(kind, field) -> the same, where it is another's."""
