"""What Postfix said: one frozen struct per kind of event.

Enters: nothing; the builders in `parsing/` make these values. Leaves: typed events, and `as_object()`, the public JSON
form (kinds and field names are a contract that users build on; docs/reference/events.md).
This file must never know how a line is read, what is counted, or who is told.

Text that a client, a remote server or a user typed has the type `Untrusted`: it is shown escaped and cut, it never
becomes a key, a metric label or a place that an address is read from.
"""

from typing import Any, ClassVar, Literal, NewType

import msgspec

Untrusted = NewType("Untrusted", str)
"""Text from outside, at most 256 characters."""

Severity = Literal["info", "warning", "error", "fatal", "panic"]
Direction = Literal["inbound", "outbound"]
Origin = Literal["smtpd", "pickup", "bounce"]
AuthCause = Literal["credentials", "protocol", "aborted"]
AbortReason = Literal["lost_connection", "timeout", "too_many_errors", "bare_lf"]
Limit = Literal["connection_rate", "connection_count", "message_rate", "recipient_rate", "tls_rate", "auth_rate"]
Notice = Literal["non_delivery", "delay", "success", "postmaster"]
PeakMetric = Literal[
    "connection_rate", "connection_count", "message_rate", "recipient_rate", "tls_rate", "auth_rate", "trace_rate",
    "cache_size",
]  # fmt: skip
Violation = Literal["pipelining", "non_smtp", "bare_lf", "long_line", "bad_address", "bad_bdat", "bad_utf8"]
TlsPolicy = Literal["required", "dane", "mta_sts", "requiretls", "verify"]
ContentPart = Literal["header", "body", "mime", "content"]
QueueAction = Literal["deleted", "requeued", "held", "released", "expired"]

CATEGORIES = (
    "protocol", "unknown_sender", "unknown_user", "rbl", "sender_mismatch", "size", "storage", "lookup_failure",
    "configuration", "client_dns", "syntax", "helo", "sender_domain", "recipient_domain", "unverified", "pipelining",
    "tls_required", "greylist", "spf", "rate", "too_many_recipients", "access", "content", "policy", "other",
)  # fmt: skip
"""Every `category` of a rejection."""

TLS_ERRORS = (
    "no_shared_cipher", "wrong_version", "unsupported_protocol", "http_request", "unknown_ca", "bad_certificate",
    "no_client_certificate", "certificate_expired", "handshake_failure", "packet_too_long", "unexpected_eof",
    "lost_connection", "reset", "timeout", "other",
)  # fmt: skip
"""Every `error` of a failed TLS handshake."""

STATUSES = (
    "sent", "deferred", "bounced", "softbounce", "deliverable", "undeliverable", "expanded", "relayed", "delivered",
    "other",
)  # fmt: skip
"""Every `status` of a delivery."""

POSTSCREEN_TESTS = (
    "connect", "pass_new", "pass_old", "allowlisted", "denylisted", "allowlist_veto", "pregreet", "dnsbl", "hangup",
    "pipelining", "non_smtp", "bare_newline", "time_limit", "count_limit", "length_limit", "data_without_rcpt",
    "disconnect", "busy",
)  # fmt: skip
"""Every `test` of a postscreen event."""

CONTENT_ACTIONS = (
    "reject", "warn", "info", "hold", "discard", "filter", "redirect", "bcc", "prepend", "replace", "strip", "pass",
)  # fmt: skip
"""Every `action` of a content check."""

PROBLEMS = (
    "started", "stopped", "reloaded", "process_limit", "throttled", "child_exit", "child_signal", "fatal", "panic",
    "disk_full", "queue_write", "map_error", "ipc_error", "policy_down", "milter_down", "proxy_down", "permissions",
    "config_warning", "compatibility", "other",
)  # fmt: skip
"""Every `problem` of the service's health."""


class Client(msgspec.Struct, frozen=True, gc=False):
    """Who talks to us, from Postfix's own `name[address]` or `name[address]:port`, never from typed text."""

    ip: str | None
    """Canonical text, a v4-mapped v6 address as v4; None when Postfix wrote `unknown`."""
    name: str | None
    port: int | None


class Envelope(msgspec.Struct, frozen=True, gc=False):
    """What every event has: where its line came from."""

    at: float
    """Seconds since the epoch."""
    stamp: str
    """The same moment in RFC 3339 with offset, as precise as the log."""
    host: str
    service: str | None
    """The tag before its last `/`, such as `postfix/submission`; None for another program's line."""
    daemon: str | None
    pid: int | None
    severity: Severity
    weight: int
    """How often the line stands for the same thing: N for `message repeated N times`."""
    truncated: bool
    """The body is at the 2,000 bytes where Postfix cuts."""
    rule: str | None
    """The grammar rule that read the line."""
    part_of: str | None = None
    """The kind of the event that this line belongs to; such a line counts nowhere."""
    derived: bool = False
    """Concluded from several lines, said by none."""
    record: tuple[bytes, ...] = ()
    """Time, host, tag, pid and body as they stood in the log: evidence, no part of the public object. Untrusted."""


class Event(msgspec.Struct, frozen=True, gc=False):
    """The ground of every kind."""

    kind: ClassVar[str]
    envelope: Envelope


class ClientConnected(Event, frozen=True, gc=False):
    """`connect from`."""

    kind = "client_connected"
    client: Client


class ClientDisconnected(Event, frozen=True, gc=False):
    """`disconnect from`, with the counts of the session's commands (Postfix 3.0 and later)."""

    kind = "client_disconnected"
    client: Client
    commands: dict[str, list[int]]
    """Name of the SMTP command -> [succeeded, all]."""
    notes: str | None


class SessionAborted(Event, frozen=True, gc=False):
    """`lost connection after …`, `timeout after …`, `too many errors after …`."""

    kind = "session_aborted"
    client: Client
    reason: AbortReason
    stage: str
    bytes: int | None
    queue_id: str | None


class AuthFailed(Event, frozen=True, gc=False):
    """A SASL exchange of a client that smtpd refused."""

    kind = "auth_failed"
    client: Client
    method: Untrusted
    cause: AuthCause
    reason: Untrusted
    username: Untrusted | None


class AuthBackendFailed(Event, frozen=True, gc=False):
    """Our own authentication server is broken: an outage, no attack."""

    kind = "auth_backend_failed"
    client: Client | None
    backend: Literal["dovecot", "cyrus"]
    method: Untrusted | None
    username: Untrusted | None
    reason: Untrusted


class AuthDetail(Event, frozen=True, gc=False):
    """Cyrus SASL's own line, without an address; part of the `auth_failed` that follows."""

    kind = "auth_detail"
    reason: Untrusted


class AuthProbed(Event, frozen=True, gc=False):
    """Derived at the disconnect: failed AUTH commands that no other line speaks of."""

    kind = "auth_probed"
    client: Client
    attempts: int
    succeeded: int


class OutboundAuthFailed(Event, frozen=True, gc=False):
    """Our own login at a remote server was refused, in a line of its own."""

    kind = "outbound_auth_failed"
    queue_id: str | None
    relay_name: str | None
    relay_ip: str | None
    reason: Untrusted


class RelayDenied(Event, frozen=True, gc=False):
    """Somebody asked us to send mail to a third party, and was refused."""

    kind = "relay_denied"
    client: Client
    queue_id: str | None
    stage: str
    code: int
    enhanced_code: str | None
    temporary: bool
    sender: Untrusted | None
    recipient: Untrusted | None
    helo: Untrusted | None
    proto: str | None
    username: Untrusted | None


class Rejected(Event, frozen=True, gc=False):
    """A refused command or message that was no relay attempt."""

    kind = "rejected"
    client: Client | None
    queue_id: str | None
    stage: str | None
    code: int | None
    enhanced_code: str | None
    temporary: bool | None
    category: str
    text: Untrusted
    sender: Untrusted | None
    recipient: Untrusted | None
    helo: Untrusted | None
    proto: str | None
    username: Untrusted | None
    ambiguous: bool
    """A typed address looks like the line's own punctuation: sender and recipient may be wrong."""


class PolicyAction(Event, frozen=True, gc=False):
    """An access table or policy did something other than refuse."""

    kind = "policy_action"
    client: Client
    queue_id: str | None
    action: str
    stage: str
    text: Untrusted
    sender: Untrusted | None
    recipient: Untrusted | None


class MilterAction(Event, frozen=True, gc=False):
    """A milter refused, held or discarded; `fault` when it was the milter that was down."""

    kind = "milter_action"
    client: Client | None
    queue_id: str | None
    action: Literal["reject", "hold", "discard", "other"]
    fault: bool
    stage: str
    code: int | None
    enhanced_code: str | None
    text: Untrusted


class ProxyVerdict(Event, frozen=True, gc=False):
    """What a before-queue content filter (smtpd_proxy_filter) answered."""

    kind = "proxy_verdict"
    client: Client | None
    verdict: Literal["accept", "reject"]
    stage: str
    code: int | None
    text: Untrusted


class ContentAction(Event, frozen=True, gc=False):
    """A header, body, MIME or milter header check of cleanup did something; the client comes from the queue id."""

    kind = "content_action"
    client: Client | None
    queue_id: str
    action: str
    """One of `CONTENT_ACTIONS`."""
    part: ContentPart
    text: Untrusted


class PostscreenEvent(Event, frozen=True, gc=False):
    """A test of postscreen and how the client did."""

    kind = "postscreen_event"
    client: Client
    test: str
    """One of `POSTSCREEN_TESTS`."""
    score: int | None
    """Of the DNS block lists."""
    bytes: int | None
    seconds: float | None
    sample: Untrusted | None


class DnsblListed(Event, frozen=True, gc=False):
    """A client that asks postscreen is in a DNS block list."""

    kind = "dnsbl_listed"
    client: Client
    zone: str
    reply: str


class TlsFailed(Event, frozen=True, gc=False):
    """A TLS handshake that failed; `error` comes from the library line that follows."""

    kind = "tls_failed"
    client: Client | None
    direction: Direction
    peer_name: str | None
    peer_ip: str | None
    error: str | None
    reason: Untrusted
    stage: str | None
    queue_id: str | None


class TlsDetail(Event, frozen=True, gc=False):
    """`TLS library problem`: part of a `tls_failed`, or alone an error of the session that its process serves."""

    kind = "tls_detail"
    client: Client | None
    reason: Untrusted


class TlsEstablished(Event, frozen=True, gc=False):
    """The summary line of a TLS session (`*_tls_loglevel` 1 and above)."""

    kind = "tls_established"
    client: Client | None
    direction: Direction
    peer_name: str | None
    peer_ip: str | None
    trust: Literal["anonymous", "untrusted", "trusted", "verified"]
    reused: bool
    protocol: str
    cipher: str
    bits: int
    algorithm_bits: int


class CertificateRejected(Event, frozen=True, gc=False):
    """The peer's certificate did not verify; the handshake may go on all the same."""

    kind = "certificate_rejected"
    client: Client | None
    direction: Direction
    peer_name: str | None
    peer_ip: str | None
    reason: Untrusted


class TlsMisconfigured(Event, frozen=True, gc=False):
    """Our own certificate, key, chain, parameters or random source cannot be used."""

    kind = "tls_misconfigured"
    reason: Untrusted


class TlsPolicyFailed(Event, frozen=True, gc=False):
    """A delivery needs TLS that the remote server did not offer, in a line of its own."""

    kind = "tls_policy_failed"
    queue_id: str | None
    domain: str | None
    policy: TlsPolicy
    reason: Untrusted


class RateLimited(Event, frozen=True, gc=False):
    """A client ran into one of anvil's limits."""

    kind = "rate_limited"
    client: Client
    limit: Limit
    value: int | None
    service_name: str


class RatePeak(Event, frozen=True, gc=False):
    """The highest rate or count of one client that anvil saw since its last report."""

    kind = "rate_peak"
    client: Client | None
    """None for the cache size."""
    metric: PeakMetric
    value: int
    period_seconds: int | None
    service_name: str | None
    peak_at: str | None
    """The moment of the peak as Postfix wrote it: BSD form, without year and zone."""


class ProtocolViolation(Event, frozen=True, gc=False):
    """A client broke the SMTP protocol in a way that smtpd logs."""

    kind = "protocol_violation"
    client: Client
    violation: Violation
    stage: str | None
    sample: Untrusted | None


class DnsMismatch(Event, frozen=True, gc=False):
    """Name and address of a client do not confirm each other."""

    kind = "dns_mismatch"
    client: Client | None
    hostname: Untrusted
    reason: Untrusted


class MessageAccepted(Event, frozen=True, gc=False):
    """The queue file of a message was opened."""

    kind = "message_accepted"
    client: Client | None
    queue_id: str
    origin: Origin
    method: Untrusted | None
    username: Untrusted | None
    sasl_sender: Untrusted | None
    orig_queue_id: str | None
    uid: int | None
    sender: Untrusted | None


class MessageIdentified(Event, frozen=True, gc=False):
    """Its Message-ID, as the sender wrote it."""

    kind = "message_identified"
    client: Client | None
    queue_id: str
    message_id: Untrusted


class MessageQueued(Event, frozen=True, gc=False):
    """The queue manager took it up; `client` and `username` from the line that accepted it."""

    kind = "message_queued"
    client: Client | None
    queue_id: str
    sender: Untrusted
    size: int
    recipients: int
    username: Untrusted | None
    reactivated: bool


class Delivery(Event, frozen=True, gc=False):
    """One delivery attempt to one recipient."""

    kind = "delivery"
    queue_id: str
    recipient: Untrusted
    orig_recipient: Untrusted | None
    relay_name: str | None
    relay_ip: str | None
    relay_port: int | None
    delay: float
    delays: list[float]
    """Seconds before the queue manager, in it, in connecting, in transmitting."""
    enhanced_code: str | None
    status: str
    failure: Literal["auth", "tls", "connection", "dns", "remote", "local"] | None
    tls: str | None
    text: Untrusted


class DeliveryAttempted(Event, frozen=True, gc=False):
    """One of several servers did not serve; what became of the recipient is said by `delivery`."""

    kind = "delivery_attempted"
    queue_id: str | None
    peer_name: str | None
    peer_ip: str | None
    peer_port: int | None
    reason: Untrusted


class Notified(Event, frozen=True, gc=False):
    """A notification about a message was sent: to its sender, or to the postmaster."""

    kind = "notified"
    queue_id: str
    notice: Notice
    notice_queue_id: str | None


class MessageRemoved(Event, frozen=True, gc=False):
    """The message left the queue or changed its place in it."""

    kind = "message_removed"
    queue_id: str
    action: Literal["removed", "expired", "canceled", "requeued", "held", "released", "deleted"]


class QueueChanged(Event, frozen=True, gc=False):
    """postsuper's sum line, the only trace of commands about all messages."""

    kind = "queue_changed"
    action: QueueAction
    count: int


class Housekeeping(Event, frozen=True, gc=False):
    """Read, and nothing to count."""

    kind = "housekeeping"
    topic: str
    """A word of the rule's own, never of the line."""
    text: Untrusted


class DovecotAuthFailed(Event, frozen=True, gc=False):
    """A failed login at Dovecot, where its lines are asked for."""

    kind = "dovecot_auth_failed"
    client: Client
    protocol: Literal["imap", "pop3", "submission", "sieve"]
    method: Untrusted
    cause: AuthCause
    reason: Untrusted
    username: Untrusted | None


class ServiceHealth(Event, frozen=True, gc=False):
    """What Postfix says of its own state."""

    kind = "service_health"
    problem: str
    """One of `PROBLEMS`."""
    subject: str
    """The service, table, path or server that it is about, as far as Postfix names it; empty otherwise."""
    text: Untrusted


class Unsupported(Event, frozen=True, gc=False):
    """A line of Postfix that no rule reads yet."""

    kind = "unsupported"
    text: Untrusted


class Foreign(Event, frozen=True, gc=False):
    """A well-formed record of another program."""

    kind = "foreign"
    text: Untrusted


class Malformed(Event, frozen=True, gc=False):
    """No record: no header that any log format has."""

    kind = "malformed"
    text: Untrusted


KINDS: tuple[type[Event], ...] = (
    ClientConnected, ClientDisconnected, SessionAborted, AuthFailed, AuthBackendFailed, AuthDetail, AuthProbed,
    OutboundAuthFailed, RelayDenied, Rejected, PolicyAction, MilterAction, ProxyVerdict, ContentAction,
    PostscreenEvent, DnsblListed, TlsFailed, TlsDetail, TlsEstablished, CertificateRejected, TlsMisconfigured,
    TlsPolicyFailed, RateLimited, RatePeak, ProtocolViolation, DnsMismatch, MessageAccepted, MessageIdentified,
    MessageQueued, Delivery, DeliveryAttempted, Notified, MessageRemoved, QueueChanged, Housekeeping,
    DovecotAuthFailed, ServiceHealth, Unsupported, Foreign, Malformed,
)  # fmt: skip
"""Every kind, in the order of the reference."""


def as_object(event: Event) -> dict[str, Any]:
    """The public JSON object of an event: the envelope, the client, then the fields of its kind.

    A kind that can have a client always has the three `client_*` keys, null where it is not known.
    """
    envelope = event.envelope
    fields: dict[str, Any] = {
        "kind": event.kind,
        "at": envelope.stamp or None,
        "host": envelope.host or None,
        "service": envelope.service,
        "daemon": envelope.daemon,
        "pid": envelope.pid,
        "severity": envelope.severity,
        "weight": envelope.weight,
        "truncated": envelope.truncated,
        "part_of": envelope.part_of,
        "rule": envelope.rule,
    }
    if envelope.derived:
        fields["derived"] = True
    for name in event.__struct_fields__[1:]:
        value = getattr(event, name)
        if name == "client":
            fields |= client_object(value)
        else:
            fields[name] = value
    return fields


def client_object(client: Client | None) -> dict[str, Any]:
    """What the public form has in place of the client."""
    client = client or NOBODY
    return {"client_ip": client.ip, "client_name": client.name, "client_port": client.port}


NOBODY = Client(None, None, None)
"""The client of a line where none is known."""
