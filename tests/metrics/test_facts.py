"""What each event and each tallied line adds."""

from typing import Any

import pytest

from pfwatch import events
from pfwatch.events import Client, Envelope, Event, Untrusted
from pfwatch.metrics.counters import Counters
from pfwatch.metrics.record import record
from pfwatch.metrics.tallies import AT_ONCE, TALLIES, count
from pfwatch.parsing.grammar import every_rule
from pfwatch.parsing.tally import Key, Tally

CLIENT = Client("192.0.2.7", None, None)
NOTHING = Untrusted("")
EVERY = every_rule()


def envelope(daemon: str = "smtpd", service: str | None = "postfix", **others: Any) -> Envelope:
    values: dict[str, Any] = {
        "at": 0.0, "stamp": "1970-01-01T00:00:00+00:00", "host": "mx1", "service": service, "daemon": daemon, "pid": 1,
        "severity": "info", "weight": 1, "truncated": False, "rule": None,
    }  # fmt: skip
    return Envelope(**(values | others))


def aborted(reason: events.AbortReason, stage: str) -> Event:
    return events.SessionAborted(envelope(service="postfix/submission"), CLIENT, reason, stage, None, None)


def delivery(daemon: str, status: str, delays: list[float], code: str | None, relay: str | None) -> Event:
    return events.Delivery(
        envelope(daemon), "A1B2C3", NOTHING, None, relay, None, None, sum(delays), delays, code, status, None, None,
        NOTHING,
    )  # fmt: skip


def tls(direction: events.Direction, bits: int) -> Event:
    return events.TlsEstablished(
        envelope(), CLIENT, direction, None, None, "trusted", False, "TLSv1.3", "TLS_AES_256_GCM_SHA384", bits, 256
    )


def accepted(origin: events.Origin = "smtpd", method: str | None = None, **others: Any) -> Event:
    login = None if method is None else Untrusted("alice")
    method_ = None if method is None else Untrusted(method)
    return events.MessageAccepted(
        envelope(**others), CLIENT, "A1B2C3", origin, method_, login, None, None, None, None
    )  # fmt: skip


def rejected(stage: str | None, code: int | None, **others: Any) -> Event:
    return events.Rejected(
        envelope(**others), CLIENT, None, stage, code, None, None, "rbl", NOTHING, None, None, None, None, None, False
    )


def milter(*, fault: bool, daemon: str = "smtpd") -> Event:
    return events.MilterAction(envelope(daemon), CLIENT, None, "reject", fault, "MAIL", 451, None, NOTHING)


def auth_failed(method: str, cause: events.AuthCause, **others: Any) -> Event:
    return events.AuthFailed(envelope(**others), CLIENT, Untrusted(method), cause, NOTHING, None)


def tls_failed(error: str | None) -> Event:
    return events.TlsFailed(envelope(), CLIENT, "inbound", None, None, error, NOTHING, None, None)


def unsupported(daemon: str, text: str) -> Event:
    return events.Unsupported(envelope(daemon, severity="warning"), Untrusted(text))


def removed(daemon: str, action: Any) -> Event:
    return events.MessageRemoved(envelope(daemon), "A1B2C3", action)


def queued(size: int, recipients: int) -> Event:
    return events.MessageQueued(envelope("qmgr"), None, "A1B2C3", NOTHING, size, recipients, None, False)


def relay_denied(**others: Any) -> Event:
    return events.RelayDenied(
        envelope(**others), CLIENT, None, "RCPT", 554, "5.7.1", False, None, None, None, None, None
    )


def notified(notice: events.Notice) -> Event:
    return events.Notified(envelope("bounce"), "A1B2C3", notice, None)


def screened(test: str, score: int | None = None) -> Event:
    return events.PostscreenEvent(envelope("postscreen"), CLIENT, test, score, None, None, None)


BOTH_WAYS: list[tuple[str, str, tuple[bytes | None, ...], Event]] = [
    ("smtpd-connect", "postfix", (), events.ClientConnected(envelope(), CLIENT)),
    ("smtpd-disconnect", "postfix", (), events.ClientDisconnected(envelope(), CLIENT, {}, None)),
    ("session-aborted", "postfix/submission", (b"lost connection", b"AUTH"), aborted("lost_connection", "AUTH")),
    ("session-aborted", "postfix/submission", (b"timeout", b"DATA"), aborted("timeout", "DATA")),
    ("session-aborted", "postfix/submission", (b"too many errors", b"RCPT"), aborted("too_many_errors", "RCPT")),
    ("session-aborted", "postfix/submission", (b"bare <LF> received", b"DATA"), aborted("bare_lf", "DATA")),
    ("session-aborted", "postfix/submission", (b"lost connection", b"HACKED"), aborted("lost_connection", "HACKED")),
    ("smtpd-client", "postfix", (), accepted()),
    ("smtpd-client", "postfix", (b"PLAIN",), accepted(method="PLAIN")),
    ("smtpd-reject", "postfix", (b"RCPT", b"550", None, b"blocked using y"),
     rejected("RCPT", 550)),
    ("smtpd-rate-limited", "postfix", (b"AUTH command rate",),
     events.RateLimited(envelope(), CLIENT, "auth_rate", 31, "submission")),
    ("pickup-message", "postfix", (), accepted("pickup")),
    ("bounce-notified", "postfix", (b"sender non-delivery",), notified("non_delivery")),
    ("bounce-notified", "postfix", (b"sender delay",), notified("delay")),
    ("hostname-mismatch", "postfix", (), events.DnsMismatch(envelope(), CLIENT, NOTHING, NOTHING)),
    ("postscreen-connect", "postfix", (), screened("connect")),
    ("postscreen-pass", "postfix", (b"NEW",), screened("pass_new")),
    ("postscreen-pass", "postfix", (b"OLD",), screened("pass_old")),
    ("postscreen-dnsbl", "postfix", (b"-3",), screened("dnsbl", -3)),
    ("cleanup-message-id", "postfix", (), events.MessageIdentified(envelope("cleanup"), None, "A1B2C3", NOTHING)),
    ("qmgr-queued", "postfix", (b"123456789", b"17"), queued(123_456_789, 17)),
    ("qmgr-removed", "postfix", (), removed("qmgr", "removed")),
    ("tls-established", "postfix", (b"inbound", b"Trusted", b"TLSv1.3", b"TLS_AES_256_GCM_SHA384", b"128", b"256"),
     tls("inbound", 128)),
    ("tls-established", "postfix", (b"outbound", b"Trusted", b"TLSv1.3", b"TLS_AES_256_GCM_SHA384", b"256", b"256"),
     tls("outbound", 256)),
    *(
        ("delivery", "postfix", (daemon.encode(), status.encode(), b"0.01/0.02/5.5/0", code.encode(), b"dovecot"),
         delivery(daemon, status, [0.01, 0.02, 5.5, 0], code, "dovecot"))
        for daemon in ("smtp", "lmtp", "pipe", "virtual", "local", "unheard-of")
        for status, code in (("sent", "2.0.0"), ("deferred", "4.4.1"), ("bounced", "5.1.1"), ("novel", "9.9.9"))
    ),
    ("delivery", "postfix", (b"pipe", b"sent", b"0/0/0/0", None, b"none"),
     delivery("pipe", "sent", [0, 0, 0, 0], None, None)),
    ("delivery", "postfix", (b"smtp", b"sent", None, b"2.0.0", None), delivery("smtp", "sent", [], "2.0.0", None)),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "service", "fields", "event"), BOTH_WAYS)
def test_a_tallied_line_adds_what_its_event_adds(
    rule: str, service: str, fields: tuple[bytes | None, ...], event: Event
) -> None:
    tallied, recorded = Counters(), Counters()
    row = EVERY[rule][0] if rule in EVERY else None
    if rule in AT_ONCE:
        assert row is not None
        lines = Tally()
        key: Key = (b"postfix/qmgr",)
        spread = fields
        if rule == "delivery":
            daemon, status, delays, code, relay = fields
            key = (b"postfix/" + (daemon or b""), status, code, relay)
            spread = tuple((delays or b"").split(b"/")) if delays else ()
        lines.add(row, row.kind, {key: 3})
        lines.add_spread(row, row.kind, key, tuple({text or b"": 3} for text in spread))
        count(tallied, lines)
    else:
        TALLIES[rule](tallied, service, fields, 3)
    for _ in range(3):
        record(recorded, event)
    assert tallied.shown() == recorded.shown()
    assert tallied.changed()


@pytest.mark.parametrize(
    ("rule", "fields", "event"),
    [
        ("smtpd-sasl-failed", (b"login", b"x"), auth_failed("login", "credentials")),
        ("smtpd-reject", (b"RCPT", b"554", b"Relay access denied", None), relay_denied()),
    ],
)
def test_a_hit_adds_what_its_event_adds(rule: str, fields: tuple[bytes | None, ...], event: Event) -> None:
    counted, recorded = Counters(), Counters()
    lines = Tally()
    lines.add(EVERY[rule][0], type(event), {(b"postfix/smtpd", *fields): 3})
    count(counted, lines)
    for _ in range(3):
        record(recorded, event)
    assert counted.shown() == recorded.shown()
    assert counted.changed()


def test_every_rule_that_is_tallied_is_compared_with_its_event() -> None:
    assert {rule for rule, *_ in BOTH_WAYS} == {*TALLIES, *AT_ONCE}


ADDED: list[tuple[Event, dict[tuple[str, ...], float]]] = [
    (auth_failed("login", "credentials", weight=4), {
        ("postfix_sasl_failures_total", "postfix", "LOGIN", "credentials"): 4,
        ("postfix_smtpd_sasl_authentication_failures_total",): 4,
    }),
    (auth_failed("x y\nz", "aborted", service="postfix/submission"), {
        ("postfix_sasl_failures_total", "postfix/submission", "other", "aborted"): 1,
    }),
    (events.AuthBackendFailed(envelope(), None, "dovecot", None, None, NOTHING), {
        ("postfix_sasl_backend_failures_total", "dovecot"): 1,
    }),
    (events.AuthDetail(envelope(part_of="auth_failed"), NOTHING), {}),
    (events.AuthProbed(envelope(), CLIENT, 7, 0), {("postfix_sasl_probes_total", "postfix"): 7}),
    (relay_denied(weight=2), {
        ("postfix_relay_denied_total", "postfix"): 2,
        ("postfix_smtpd_messages_rejected_total", "554"): 2,
    }),
    (rejected("RCPT", 550), {
        ("postfix_rejects_total", "postfix", "RCPT", "rbl"): 1,
        ("postfix_smtpd_messages_rejected_total", "550"): 1,
    }),
    (rejected("MAIL", 552), {("postfix_rejects_total", "postfix", "MAIL", "rbl"): 1}),
    (rejected(None, None, daemon="cleanup"), {
        ("postfix_rejects_total", "postfix", "other", "rbl"): 1,
        ("postfix_cleanup_messages_rejected_total",): 1,
    }),
    (events.PolicyAction(envelope(), CLIENT, None, "hold", "RCPT", NOTHING, None, None), {
        ("postfix_policy_actions_total", "postfix", "hold"): 1,
    }),
    (milter(fault=True), {("postfix_milter_faults_total", "postfix"): 1}),
    (milter(fault=False, daemon="cleanup"), {
        ("postfix_milter_actions_total", "postfix", "reject"): 1,
        ("postfix_cleanup_messages_rejected_total",): 1,
    }),
    (tls_failed("unknown_ca"), {("postfix_tls_errors_total", "inbound", "unknown_ca"): 1}),
    (tls_failed(None), {("postfix_tls_errors_total", "inbound", "other"): 1}),
    (events.TlsDetail(envelope(), CLIENT, NOTHING), {("postfix_tls_errors_total", "inbound", "other"): 1}),
    (events.TlsDetail(envelope("smtp"), None, NOTHING), {("postfix_tls_errors_total", "outbound", "other"): 1}),
    (events.TlsDetail(envelope(part_of="tls_failed"), CLIENT, NOTHING), {}),
    (events.RateLimited(envelope(), CLIENT, "auth_rate", 61, "smtp"), {
        ("postfix_rate_limited_total", "postfix", "auth_rate"): 1,
    }),
    (accepted(method="PLAIN", service="postfix/submission"), {
        ("postfix_messages_accepted_total", "postfix/submission", "smtpd", "yes"): 1,
        ("postfix_smtpd_messages_processed_total", "PLAIN"): 1,
    }),
    (accepted(), {
        ("postfix_messages_accepted_total", "postfix", "smtpd", "no"): 1,
        ("postfix_smtpd_messages_processed_total", "NONE"): 1,
    }),
    (accepted("pickup", daemon="pickup"), {("postfix_messages_accepted_total", "postfix", "pickup", "no"): 1}),
    (removed("postsuper", "removed"), {}),
    (removed("qmgr", "expired"), {("postfix_qmgr_messages_expired_total",): 1}),
    (delivery("smtp", "deferred", [1, 0, 30, 0], "4.4.1", None), {
        ("postfix_deliveries_total", "smtp", "deferred"): 1,
        ("postfix_smtp_messages_processed_total", "deferred"): 1,
        ("postfix_smtp_status_deferred",): 1,
        ("postfix_smtp_deferred_messages_by_dsn_total", "4.4.1"): 1,
    }),
    (screened("connect"), {("postfix_postscreen_connects_total",): 1}),
    (screened("hangup"), {("postfix_postscreen_hangups_total",): 1}),
    (screened("pass_old"), {("postfix_postscreen_passes_total", "old"): 1}),
    (screened("denylisted"), {("postfix_postscreen_access_list_matches_total", "deny"): 1}),
    (screened("pregreet"), {("postfix_postscreen_tests_failed_total", "PREGREET"): 1}),
    (screened("busy"), {("postfix_postscreen_connects_rejected_total", "busy"): 1}),
    (screened("dnsbl", 3), {
        ("postfix_postscreen_dnsbl_rank_bucket", "3.0"): 1,
        ("postfix_postscreen_dnsbl_rank_sum",): 3,
    }),
    (screened("disconnect"), {}),
    (rejected("RCPT", 550, daemon="postscreen"), {
        ("postfix_rejects_total", "postfix", "RCPT", "rbl"): 1,
        ("postfix_postscreen_messages_rejected_total", "550"): 1,
    }),
    (events.DnsblListed(envelope("dnsblog"), CLIENT, "dnsbl.example.org", "127.0.0.2"), {
        ("postfix_dnsbl_listings_total",): 1,
    }),
    (events.ProtocolViolation(envelope(), CLIENT, "non_smtp", None, NOTHING), {
        ("postfix_protocol_violations_total", "postfix", "non_smtp"): 1,
    }),
    (events.DnsMismatch(envelope(), CLIENT, NOTHING, NOTHING), {
        ("postfix_smtpd_forward_confirmed_reverse_dns_errors_total",): 1,
    }),
    (events.DnsMismatch(envelope(), None, NOTHING, NOTHING), {}),
    (events.ProxyVerdict(envelope(), CLIENT, "reject", "END-OF-MESSAGE", 550, NOTHING), {
        ("postfix_proxy_verdicts_total", "postfix", "reject"): 1,
    }),
    (events.ContentAction(envelope("cleanup"), CLIENT, "A1B2C3", "reject", "header", NOTHING), {
        ("postfix_content_actions_total", "postfix", "reject", "header"): 1,
        ("postfix_cleanup_messages_rejected_total",): 1,
    }),
    (events.DovecotAuthFailed(envelope("dovecot"), CLIENT, "imap", NOTHING, "credentials", NOTHING, None), {
        ("postfix_dovecot_auth_failures_total", "imap", "credentials"): 1,
    }),
    (events.CertificateRejected(envelope(), CLIENT, "inbound", None, None, NOTHING), {
        ("postfix_certificates_rejected_total", "inbound"): 1,
    }),
    (events.TlsMisconfigured(envelope(), NOTHING), {("postfix_tls_misconfigured_total",): 1}),
    (events.TlsPolicyFailed(envelope("smtp"), None, "example.net", "dane", NOTHING), {
        ("postfix_tls_policy_failures_total", "dane"): 1,
    }),
    (events.OutboundAuthFailed(envelope("smtp"), "A1B2C3", None, None, NOTHING), {
        ("postfix_outbound_auth_failures_total",): 1,
    }),
    (events.DeliveryAttempted(envelope("smtp"), None, None, None, None, Untrusted("Connection timed out")), {
        ("postfix_delivery_attempts_failed_total",): 1,
        ("postfix_smtp_connection_timed_out_total",): 1,
    }),
    (events.Notified(envelope("bounce"), "A1B2C3", "non_delivery", None), {
        ("postfix_sender_notifications_total", "non_delivery"): 1,
        ("postfix_bounce_non_delivery_notification_total",): 1,
    }),
    (events.Notified(envelope("bounce"), "A1B2C3", "delay", None), {
        ("postfix_sender_notifications_total", "delay"): 1,
    }),
    (events.QueueChanged(envelope("postsuper"), "deleted", 12), {("postfix_queue_changes_total", "deleted"): 12}),
    (events.ServiceHealth(envelope("master"), "throttled", "smtpd", NOTHING), {
        ("postfix_service_problems_total", "throttled"): 1,
    }),
    (events.Housekeeping(envelope("scache"), "statistics", NOTHING), {}),
    (events.RatePeak(envelope("anvil"), CLIENT, "connection_rate", 31, 60, "smtp", None), {}),
    (events.ClientConnected(envelope("qmqpd"), CLIENT), {}),
    (events.ClientDisconnected(envelope("qmqpd"), CLIENT, {}, None), {}),
    (unsupported("smtpd", "new: connect to mx.example.net[192.0.2.9]:25: Connection timed out"), {
        ("postfix_unsupported_log_entries_total", "smtpd", "warning"): 1,
    }),
    (events.Foreign(envelope("dovecot", service=None), Untrusted("x")), {}),
    (events.Malformed(envelope("", service=None), Untrusted("x")), {}),
]  # fmt: skip


@pytest.mark.parametrize(("event", "expected"), ADDED)
def test_an_event_adds_exactly_this(event: Event, expected: dict[tuple[str, ...], float]) -> None:
    counters = Counters()
    record(counters, event)
    assert {(name, *labels): value for (name, labels), value in counters.changed().items()} == expected


def test_every_kind_of_event_is_tried_here() -> None:
    tried = {type(event) for event, _ in ADDED} | {type(event) for *_, event in BOTH_WAYS}
    assert tried == set(events.KINDS)
