"""Everything that was done to four releases of Postfix: pfwatch finds all of it, and nothing else.

Each class of action has an entry: what it leaves in the log. Where that is not one line for each action, or no line at
all, the entry stands in `DIFFERENCES` and says which line is missing or is there too often.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Final, NamedTuple

import pytest

from pfwatch.events import (
    AuthBackendFailed,
    AuthFailed,
    AuthProbed,
    ClientDisconnected,
    ContentAction,
    Delivery,
    DovecotAuthFailed,
    Event,
    MessageAccepted,
    MessageQueued,
    MessageRemoved,
    MilterAction,
    Notified,
    PolicyAction,
    PostscreenEvent,
    ProtocolViolation,
    RateLimited,
    Rejected,
    RelayDenied,
    SessionAborted,
    TlsFailed,
    as_object,
)
from tests.samples.logs import VERSIONS, logs, read, stories, truth

NOBODY: Final = "203.0.113.9"
"""Did nothing; it stands only in what others typed."""

TABLES_OF_CLASSES: Final = (
    "auth_other", "rejected", "tls_failed", "rate_limited", "postscreen", "protocol", "outage",
)  # fmt: skip

Found = Counter[tuple[str, str]]
"""(what, who) -> how often."""
Said = tuple[str | tuple[str, str], int]
"""What one event says, of its client or of somebody else, and how often."""


class Leaves(NamedTuple):
    """What one action leaves in the log, by its events."""

    what: tuple[str, ...]
    why: str = ""
    beside: tuple[str, ...] = ()
    """What the same client may have left as well, by actions that the truth does not speak of."""


def each(what: str, classes: str) -> dict[str, Leaves]:
    return {name: Leaves((what,)) for name in classes.split()}


EXACT: Final[dict[str, Leaves]] = {
    **each("auth otherwise failed", "aborted malformed_base64 malformed_plain empty_response no_mechanism"),
    **each("auth otherwise failed", "too_many_args no_tls_auth_only no_tls_encrypt unsupported_mech empty_user"),
    **each("auth otherwise failed", "hangup_in_auth already_authenticated in_transaction before_helo"),
    **each("auth backend failed", "backend_lost_in_exchange"),
    **each("rejected unknown_user", "unknown_user unknown_local_user"),
    **each("rejected sender_domain", "unknown_sender_domain sender_domain_servfail nullmx_sender"),
    **each("rejected helo", "non_fqdn_helo invalid_helo helo_access helo_invalid"),
    **each("rejected syntax", "non_fqdn_sender non_fqdn_rcpt odd_address"),
    **each("rejected policy", "sender_access sender_access_defer client_access pol-reject"),
    **each("rejected access", "submission_no_auth"),
    **each("rejected greylist", "pol-defer greylisted"),
    **each("rejected spf", "spf_fail"),
    **each("rejected sender_mismatch", "sender_login_mismatch"),
    **each("rejected client_dns", "unknown_client_hostname"),
    **each("rejected configuration", "temp_lookup_failure policy_server_down"),
    **each("rejected storage", "insufficient_storage"),
    **each("rejected size", "size"),
    **each("rejected rbl", "rbl"),
    **each("rejected by content_action", "header_checks body_checks"),
    **each("rejected by milter_action", "milter_rcpt milter_data"),
    **each("tls no_shared_cipher", "no_shared_cipher server_cipher_list"),
    **each("tls unsupported_protocol", "sslv2 sslv3 tls10_only_strict tls11_only_strict"),
    **each("tls lost_connection", "hangup_handshake hangup_handshake_partial"),
    **each("tls reset", "rst_handshake"),
    **each("tls wrong_version", "garbage_handshake plaintext_to_465 smtp_after_starttls"),
    **each("tls http_request", "http_to_465"),
    **each("tls unknown_ca", "client_rejects_cert"),
    **each("tls no_client_certificate", "no_client_cert"),
    **each("tls bad_certificate", "untrusted_client_cert_required"),
    **each("limit connection_rate", "connection_rate"),
    **each("limit connection_count", "connection_concurrency"),
    **each("limit message_rate", "message_rate"),
    **each("limit recipient_rate", "recipient_rate"),
    **each("limit tls_rate", "new_tls_rate"),
    **each("postscreen denylisted", "denylisted"),
    **each("postscreen hangup", "hangup_before_greet hangup_after_greet"),
    **each("postscreen pass_old", "pass_old"),
    **each("violation pipelining", "pipelining_after_helo pipelining_forbid pipelining_data_forbid"),
    **each("rejected protocol", "bare_lf_reject"),
    **each("too_many_errors", "too_many_errors"),
    "pass_then_450": Leaves(("rejected greylist", "postscreen pass_new")),
    "bare_newline": Leaves(("postscreen bare_newline", "rejected protocol")),
    "dnsbl": Leaves(("postscreen dnsbl", "rejected rbl")),
    "dnsbl_hangup": Leaves(("postscreen dnsbl", "postscreen hangup")),
    "pipelining": Leaves(("postscreen pipelining", "rejected protocol")),
    "tls_garbage": Leaves(("tls wrong_version", "postscreen hangup")),
    **{
        f"{reason}_after_{stage}": Leaves((f"{words} after {stage.removesuffix('2')}",))
        for reason, words, stages in (
            ("lost", "lost_connection", "CONNECT EHLO MAIL RCPT DATA DATA2 NOOP RSET UNKNOWN"),
            ("timeout", "timeout", "CONNECT EHLO MAIL RCPT DATA"),
        )
        for stage in stages.split()
    },
}
"""Class of the truth -> what one such action leaves."""

DIFFERENCES: Final[dict[str, Leaves]] = {
    # no line of its own
    "too_many_recipients": Leaves((), "rejects: smtpd says nothing of recipients over smtpd_recipient_limit"),
    "must_starttls": Leaves((), "tls_errors: smtpd says nothing of a MAIL before STARTTLS but `mail=0/1` at the end"),
    "starttls_twice": Leaves((), "tls_errors: the second STARTTLS stands only in `starttls=1/2` at the end"),
    "starttls_injection": Leaves((), "tls_errors: what was sent behind STARTTLS is thrown away without a line"),
    "no_helo": Leaves((), "protocol: a MAIL before HELO stands only in `mail=0/1` at the end"),
    "expn_cmd": Leaves((), "protocol: smtpd has no EXPN; it stands only in `unknown=0/4` at the end"),
    "vrfy_cmd 252": Leaves(("command vrfy",), "protocol: an answered VRFY stands only in `vrfy=1/4` at the end"),
    "vrfy_cmd 504": Leaves(("command vrfy", "rejected syntax"), "protocol: a refused VRFY is a reject line, too"),
    "unknown_cmd": Leaves(
        (),
        "injection: an unknown command stands only in `unknown=0/1`, unless it looks like a header line",
        beside=("violation non_smtp",),
    ),
    "bare_lf_normalize": Leaves((), "protocol: smtpd repairs bare newlines without a line"),
    "bare_lf_normalize_default": Leaves((), "protocol: smtpd repairs bare newlines without a line"),
    "bare_lf_allowed": Leaves(
        ("violation pipelining",), "protocol, 3.5 and 3.7: the line is about what was smuggled, not about bare newlines"
    ),
    "junk_commands": Leaves(
        ("lost_connection after NOOP",), "protocol: a hundred NOOP stand only in `noop=104`; then the client hangs up"
    ),
    "auth_attempt": Leaves(("postscreen hangup",), "postscreen: it offers no AUTH, and does not say that it was tried"),
    # more than one line
    "long_line": Leaves(("violation long_line", "lost_connection after UNKNOWN"), "protocol: then the client hangs up"),
    "non_smtp_command": Leaves(("violation non_smtp",), "protocol: by smtpd; postscreen has its own line"),
    "timeout_after_AUTH": Leaves(
        ("timeout after AUTH", "auth otherwise failed"), "protocol: the AUTH that got no answer also counts as failed"
    ),
    "timeout_after_STARTTLS": Leaves(
        ("tls lost_connection", "lost_connection after STARTTLS"),
        "protocol: smtpd's handshake timer ends in the words of a lost connection",
    ),
    "auth_rate": Leaves(
        ("limit auth_rate", "auth otherwise failed"), "rate_limits: an AUTH over the limit is also `auth=0/1`"
    ),
    "milter_down": Leaves(
        ("rejected by milter_action",) * 3, "policy_milter: three commands of one session were refused, and three lines"
    ),
    "backend_down": Leaves(
        ("auth backend failed", "auth backend unusable"), "dovecot_down: the socket has a line, and the AUTH has one"
    ),
    "smtpd_fatal_no_sasl_mechanisms": Leaves(
        ("auth backend unusable",) * 2, "dovecot_down: the socket has a line, and the death of our smtpd has one"
    ),
    "pregreet": Leaves(
        ("postscreen pregreet",),
        "postscreen: the truth does not say what was sent before the greeting; postscreen judges that, too",
        beside=(
            "postscreen non_smtp", "postscreen bare_newline", "postscreen pipelining", "postscreen hangup",
            "rejected protocol",
        ),
    ),
}  # fmt: skip
"""Class of the truth -> what one such action leaves, with the story and the line that is missing or stands beside."""

BY_VERSION: Final[dict[tuple[str, str], Leaves]] = {
    **{
        ("binary_garbage", version): Leaves(("lost_connection after CONNECT",), "protocol: no line about the garbage")
        for version in ("3.5", "3.7")
    },
    **{
        ("binary_garbage", version): Leaves(("violation non_smtp",), "protocol: garbage is no SMTP")
        for version in ("3.10", "3.11")
    },
    **{
        ("too_long", version): Leaves(("auth otherwise failed", "violation long_line"), "auth_misc")
        for version in ("3.5", "3.7")
    },
    **{
        ("too_long", version): Leaves(
            ("auth otherwise failed", *("violation long_line",) * 3), "auth_misc: the rest of the line is read on"
        )
        for version in ("3.10", "3.11")
    },
}
"""Like `DIFFERENCES`, where releases differ."""

ELSEWHERE: Final[dict[str, tuple[str, str]]] = {
    "postscreen non_smtp_command": ("postscreen non_smtp", "postscreen's own line"),
}
"""`table class` -> what it leaves, where another table has a class of the same name."""

TOO_MANY: Final[dict[str, tuple[dict[tuple[str, str], int], str]]] = {
    "local_mail": (
        {("local recipients", "local"): 2},
        "nrcpt counts what an alias became; no line has the number that it was before: one message to a list of three",
    ),
}
"""Story -> what is found too often, and how much, and why."""

WITH_NOTIFICATIONS: Final = {"backscatter": "there the notifications are what was done: strangers got them"}
"""Story -> why its deliveries include those of notifications; everywhere else the truth leaves them out."""

ONLY_HUNG_UP: Final = "lost_connection after "
"""Compared in the story `protocol` alone: elsewhere whoever was refused hangs up, and the truth does not count that."""

AS_SHOWN: Final = {
    "tab\there\x1b[31mred": "tab?there?[31mred",
    "a\\r\\nNov 22...": "a?r?nNov 22 00:00:00 mx1 postfix/smtpd[1]: connect from unknown[203.0.113.9]",
}
"""Name as it was sent (the second shortened by whoever wrote it down) -> as Dovecot and Postfix mask it."""

NOTIFICATION: Final = "delivery of a notification"
NOT_TOLD: Final = "recipients of a message that was held or discarded"
KEPT: Final = {
    "rejects": "headers and senders that are held or discarded: no nrcpt until the queue manager takes a message up",
    "policy_milter": "quarantine and discard by the milter: no nrcpt either",
}
"""Story -> why the recipients of some messages stand in no line; the messages are counted all the same."""


def what_was_done(version: str, story: str) -> tuple[Found, set[tuple[str, str]]]:
    """What must be found, and what may be found beside it."""
    done, wanted, beside = truth(version)[story], Found(), set[tuple[str, str]]()
    for table, what in (
        ("auth_failed", "auth failed"), ("auth_succeeded", "auth succeeded"), ("relay_denied", "relay denied"),
        ("imap_failed", "imap failed"), ("auth_failed_services", "auth failed at"), ("deliveries", "delivery"),
    ):  # fmt: skip
        wanted.update({(what, who): times for who, times in done.get(table, {}).items()})
    for name, times in done.get("auth_failed_accounts", {}).items():
        wanted["account", AS_SHOWN.get(name, name)] += times
    for table in ("sent", "inbound", "local"):
        for who, (messages, recipients) in done.get(table, {}).items():
            wanted[f"{table} messages", who] += messages
            wanted[f"{table} recipients", who] += recipients
    wanted["notified", ""] += done.get("notified", 0)
    for table in TABLES_OF_CLASSES:
        for name, by_address in done.get(table, {}).items():
            leaves = left_by(table, name, version)
            for who, times in by_address.items():
                beside.update((what, who) for what in leaves.beside)
                for what in leaves.what:
                    wanted[what, who] += times
    return +wanted, beside


def left_by(table: str, name: str, version: str) -> Leaves:
    """A class that has no entry fails here."""
    if f"{table} {name}" in ELSEWHERE:
        return Leaves(ELSEWHERE[f"{table} {name}"][:1])
    return EXACT.get(name) or DIFFERENCES.get(name) or BY_VERSION[name, version]


def found_in(events: list[Event]) -> Found:
    """What pfwatch says was done, by whom."""
    found, messages = Found(), Messages()
    for event in events:
        for what, times in (*seen(event), *messages.seen(event)):
            client = getattr(event, "client", None)
            found[what if isinstance(what, tuple) else (what, str(client.ip) if client else "")] += times
    return +found


def seen(event: Event) -> Iterator[Said]:
    """What one event says by itself."""
    yield from logins(event)
    yield from refusals(event)
    yield from abuse(event)
    if isinstance(event, Notified):
        yield ("notified", ""), event.envelope.weight


def logins(event: Event) -> Iterator[Said]:
    times = event.envelope.weight
    match event:
        case AuthFailed(cause="credentials"):
            yield "auth failed", times
            yield ("account", str(event.username)), times
            yield ("auth failed at", str(event.envelope.service).partition("/")[2] or "smtpd"), times
        case AuthFailed():
            yield "auth otherwise failed", times
        case AuthProbed():
            yield "auth otherwise failed", event.attempts
        case AuthBackendFailed():
            yield "auth backend failed" if event.method else "auth backend unusable", times
        case DovecotAuthFailed():
            yield "imap failed", times
        case ClientDisconnected():
            yield "auth succeeded", event.commands.get("auth", [0, 0])[0] * times
            yield "command vrfy", event.commands.get("vrfy", [0, 0])[1] * times


def refusals(event: Event) -> Iterator[Said]:
    times = event.envelope.weight
    match event:
        case RelayDenied():
            yield "relay denied", times
        case Rejected():
            yield f"rejected {event.category}", times
        case MilterAction(action="reject") | ContentAction(action="reject"):
            yield f"rejected by {event.kind}", times
        case RateLimited():
            yield f"limit {event.limit}", times


def abuse(event: Event) -> Iterator[Said]:
    times = event.envelope.weight
    match event:
        case TlsFailed(direction="inbound"):
            yield f"tls {event.error}", times
        case PostscreenEvent() if event.test not in {"connect", "disconnect"}:
            yield f"postscreen {event.test}", times
        case ProtocolViolation():
            yield f"violation {event.violation}", times
        case SessionAborted(reason="too_many_errors"):
            yield "too_many_errors", times
        case SessionAborted():
            yield f"{event.reason} after {event.stage}", times


class Messages:
    """Who brought a message, by queue id; what Postfix writes to its postmaster, and forwarded copies, nobody did."""

    def __init__(self) -> None:
        self.origins: dict[str, str] = {}
        self.kept: set[str] = set()

    def seen(self, event: Event) -> Iterator[Said]:
        match event:
            case MessageAccepted():
                self.origins[event.queue_id] = event.origin
                self.kept.discard(event.queue_id)
            case Notified():
                self.origins[event.notice_queue_id or ""] = "bounce"
            case MessageRemoved(action="removed"):
                self.origins.pop(event.queue_id, None)
            case MessageQueued(reactivated=False):
                yield from self._queued(event)
            case MilterAction() | ContentAction() | PolicyAction() if event.action in {"hold", "discard"}:
                if event.queue_id not in self.kept:
                    self.kept.update({event.queue_id} if event.queue_id else ())
                    yield "inbound messages", 1
                    yield NOT_TOLD, 1
            case Delivery():
                origin = self.origins.get(event.queue_id)
                if origin is not None:
                    yield (NOTIFICATION if origin == "bounce" else "delivery", event.status), 1

    def _queued(self, event: MessageQueued) -> Iterator[Said]:
        origin = self.origins.get(event.queue_id)
        if event.username:
            yield ("sent messages", event.username), 1
            yield ("sent recipients", event.username), event.recipients
        elif origin == "smtpd":
            yield "inbound messages", 1
            yield "inbound recipients", event.recipients
        elif origin == "pickup":
            yield ("local messages", "local"), 1
            yield ("local recipients", "local"), event.recipients


def as_booked(found: Found, story: str, beside: set[tuple[str, str]]) -> Found:
    """Without what the truth of a story does not speak of."""
    for (what, who), times in list(found.items()):
        unbooked = what.startswith(ONLY_HUNG_UP) and story != "protocol"
        if (what, who) in beside or unbooked or what == NOTIFICATION:
            del found[what, who]
        if what == NOTIFICATION and story in WITH_NOTIFICATIONS:
            found["delivery", who] += times
    for key, times in TOO_MANY.get(story, ({}, ""))[0].items():
        found[key] -= times
    return found


LOGS = [(version, story, name) for version in VERSIONS for story, name in stories(version)]


@pytest.mark.parametrize(("version", "story", "name"), LOGS)
def test_the_events_are_what_was_done(version: str, story: str, name: str) -> None:
    events, tally = read(logs(version)[name], dovecot=True)
    wanted, beside = what_was_done(version, story)
    found = as_booked(found_in(events), story, beside)
    for _, who in [key for key in found if key[0] == NOT_TOLD and story in KEPT]:
        del found[NOT_TOLD, who], wanted["inbound recipients", who]
    assert found - wanted == Found(), "this was not done"
    assert wanted - found == Found(), "this was not found"
    assert tally.total == truth(version)[story]["lines"]


@pytest.mark.parametrize(("version", "name"), [(version, name) for version in VERSIONS for name in logs(version)])
@pytest.mark.parametrize("every_event", [True, False])
def test_every_line_is_read(version: str, name: str, every_event: bool) -> None:
    log = logs(version)[name]
    events, tally = read(log, every_event=every_event)
    unread = [event.envelope.record[4] for event in events if event.kind == "unsupported"]
    assert (tally.unsupported, tally.malformed, unread) == (0, 0, [])
    assert sum(tally.fates().values()) == tally.total == log.count(b"\n")


@pytest.mark.parametrize(("version", "name"), [(version, name) for version in VERSIONS for name in logs(version)])
def test_nobody_who_was_only_named_did_anything(version: str, name: str) -> None:
    for event in read(logs(version)[name], dovecot=True)[0]:
        shown = as_object(event)
        assert NOBODY not in {shown.get("client_ip"), shown.get("peer_ip"), shown.get("relay_ip")}, (
            event.envelope.record
        )


def test_every_named_difference_is_one() -> None:
    classes = {
        name
        for version in VERSIONS
        for done in truth(version).values()
        for table in TABLES_OF_CLASSES
        for name in done.get(table, {})
    }
    assert classes == {*EXACT, *DIFFERENCES, *(name for name, _ in BY_VERSION)}
    assert set(EXACT).isdisjoint(DIFFERENCES)
    assert all(leaves.why for leaves in (*DIFFERENCES.values(), *BY_VERSION.values()))
