"""Every metric, once: name, type, help text, labels and buckets, as data.

Enters: nothing. Leaves: `METRICS`, which the counters, `/metrics` and docs/reference/metrics.md are made from, and
`NOT_EXPORTED`, the names of postfix_exporter that are left out, with the reason.
This file must never know a value, an event's fields or the exposition format.

No label ever takes an address, an account, a HELO name or other typed text: each has a closed set of values, or it is
named by the administrator (a source, a service, a rule) and capped.
"""

from typing import Literal, get_args

import msgspec

from pfwatch.events import (
    CATEGORIES,
    CONTENT_ACTIONS,
    PROBLEMS,
    STATUSES,
    TLS_ERRORS,
    AbortReason,
    AuthCause,
    ContentPart,
    Direction,
    Limit,
    Origin,
    QueueAction,
    Severity,
    TlsPolicy,
    Violation,
)
from pfwatch.loss import LOSS_REASONS

OTHER = "other"
"""The value that stands for everything outside a closed set and beyond a cap."""

METHODS = (
    "PLAIN", "LOGIN", "CRAM-MD5", "DIGEST-MD5", "SCRAM-SHA-1", "SCRAM-SHA-256", "XOAUTH2", "OAUTHBEARER", "NTLM",
    "GSSAPI", "EXTERNAL", "ANONYMOUS", OTHER,
)  # fmt: skip
STAGES = (
    "CONNECT", "HELO", "EHLO", "STARTTLS", "AUTH", "MAIL", "RCPT", "DATA", "BDAT", "END-OF-MESSAGE", "RSET", "NOOP",
    "VRFY", "ETRN", "QUIT", "XCLIENT", "XFORWARD", "HELP", "UNKNOWN", OTHER,
)  # fmt: skip
REJECT_STAGES = ("CONNECT", "HELO", "EHLO", "MAIL", "RCPT", "DATA", "END-OF-MESSAGE", "VRFY", OTHER)
REPLY_CODES = (
    "421", "450", "451", "452", "454", "501", "502", "503", "504", "521", "530", "535", "550", "551", "552", "553",
    "554", "555", "556", OTHER,
)  # fmt: skip
DAEMONS = (
    "anvil", "bounce", "cleanup", "defer", "discard", "dnsblog", "error", "flush", "lmtp", "local", "master", "oqmgr",
    "pickup", "pipe", "postalias", "postdrop", "postfix", "postfix-script", "postlog", "postlogd", "postmap",
    "postqueue", "postscreen", "postsuper", "proxymap", "qmgr", "qmqpd", "retry", "scache", "sendmail", "showq", "smtp",
    "smtpd", "spawn", "tlsmgr", "tlsproxy", "trace", "trivial-rewrite", "verify", "virtual", OTHER,
)  # fmt: skip
DELIVERY_DAEMONS = ("smtp", "lmtp", "local", "virtual", "pipe", "error", "retry", "discard", OTHER)
POSTSCREEN_FAILURES = (
    "PREGREET", "COMMAND_PIPELINING", "NON_SMTP_COMMAND", "BARE_NEWLINE", "COMMAND_TIME_LIMIT", "COMMAND_COUNT_LIMIT",
    "COMMAND_LENGTH_LIMIT", "DATA_WITHOUT_VALID_RCPT", OTHER,
)  # fmt: skip
DELAY_STAGES = ("before_queue_manager", "queue_manager", "connection_setup", "transmission")
"""The four numbers of `delays=a/b/c/d`."""
POLICY_ACTIONS = (
    "warn", "hold", "discard", "redirect", "filter", "bcc", "info", "permit", "hangup", "reject_warning", OTHER,
)  # fmt: skip
FATES = ("tallied", "events", "parts", "foreign", "unsupported", "malformed")
"""Where a line ends; every line has exactly one."""
NOTIFICATION_RESULTS = ("sent", "retried", "failed")

_DETAILS = {0: 0, 1: 10, 2: 4, 3: 5, 4: 7, 5: 6, 6: 10, 7: 30}
"""Subject of an enhanced status code (RFC 3463) -> highest registered detail."""


def _enhanced_codes(status_class: int) -> tuple[str, ...]:
    """Closed, because a remote server writes them: whoever runs one must not choose our label values."""
    codes = (f"{status_class}.{subject}.{detail}" for subject, last in _DETAILS.items() for detail in range(last + 1))
    return (*codes, OTHER)


class Label(msgspec.Struct, frozen=True):
    """A label and its values; None for values that are only known when they appear."""

    name: str
    values: tuple[str, ...] | None = None
    seeds: tuple[str, ...] = ()
    """Values of an open label that every system has."""


class Metric(msgspec.Struct, frozen=True):
    """One metric."""

    name: str
    type: Literal["counter", "gauge", "histogram"]
    help: str
    labels: tuple[Label, ...] = ()
    buckets: tuple[float, ...] = ()
    """Upper bounds without +Inf."""
    scale: int = 1
    """A histogram's sum is kept as a whole number of 1/scale, so that it is the same in whatever order it grew."""
    cap: int = 50
    """Different values (of several open labels: combinations) at most; then `other`."""
    precreate: bool = True
    """False where most combinations of labels never occur."""
    drop_in: bool = False
    """Has the name and labels of postfix_exporter (Hsn723, 0.20)."""
    note: str = ""


SERVICE = Label("service", seeds=("postfix",))
SOURCE = Label("source")
RULE = Label("rule")
LOSS = (SOURCE, Label("reason", LOSS_REASONS))
STAGE = Label("stage", DELAY_STAGES)
TLS_LABELS = (
    Label("trust", ("Anonymous", "Untrusted", "Trusted", "Verified")),
    Label("protocol", ("SSLv3", "TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3", OTHER)),
    Label("cipher"),
    Label("secret_bits"),
    Label("algorithm_bits"),
)
TIME_BUCKETS = (0.001, 0.01, 0.1, 1, 10, 60, 3600, 86_400, 172_800)
SIZE_BUCKETS = tuple(10.0**power for power in range(3, 10))
RECIPIENT_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128)
COMMIT_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
MICROSECONDS = 1_000_000
NEVER = "Never incremented, there as here: no line of Postfix says this. Kept for dashboards that name it."


def _drop_in(name: str, text: str, *labels: Label, note: str = "") -> Metric:
    return Metric(name, "counter", text, labels, drop_in=True, note=note)


def _delay(daemon: str, *labels: Label, note: str = "") -> Metric:
    text = f"Seconds that messages spent in each stage up to a delivery by {daemon}."
    name = f"postfix_{daemon}_delivery_delay_seconds"
    return Metric(name, "histogram", text, labels, TIME_BUCKETS, MICROSECONDS, drop_in=True, note=note)


def _tls(name: str, text: str) -> Metric:
    note = "Needs smtpd_tls_loglevel or smtp_tls_loglevel of at least 1. A cipher and its bits count as one value."
    return Metric(name, "counter", text, TLS_LABELS, precreate=False, drop_in=True, note=note)


def _inserted(name: str, text: str, buckets: tuple[float, ...], note: str = "") -> Metric:
    return Metric(name, "histogram", text, (), buckets, drop_in=True, note=note)


DROP_IN = (
    _drop_in("postfix_cleanup_messages_processed_total", "Messages that cleanup processed, by their Message-ID line."),
    _drop_in("postfix_cleanup_messages_rejected_total", "Messages that cleanup rejected."),
    _drop_in("postfix_cleanup_messages_not_accepted_total", "Messages that cleanup did not accept.", note=NEVER),
    _delay("lmtp", STAGE, note="Without deferred deliveries."),
    _delay("pipe", Label("relay"), STAGE),
    _delay("smtp", STAGE, note="Without deferred deliveries."),
    _inserted("postfix_qmgr_messages_inserted_receipients",
              "Recipients of messages that entered the active queue.", RECIPIENT_BUCKETS,
              "The same numbers under the misspelt name of older dashboards."),
    _inserted("postfix_qmgr_messages_inserted_recipients",
              "Recipients of messages that entered the active queue.", RECIPIENT_BUCKETS,
              "A deferred message counts again at each attempt."),
    _inserted("postfix_qmgr_messages_inserted_size_bytes",
              "Bytes of messages that entered the active queue.", SIZE_BUCKETS,
              "A deferred message counts again at each attempt."),
    _drop_in("postfix_qmgr_messages_removed_total", "Messages that the queue manager removed when they were done."),
    _drop_in("postfix_qmgr_messages_expired_total", "Messages returned because they were too long in the queue."),
    _tls("postfix_smtp_tls_connections_total", "TLS connections to other servers."),
    _tls("postfix_smtpd_tls_connections_total", "TLS connections from clients."),
    _drop_in("postfix_smtp_deferred_messages_total", "Messages deferred by smtp.", note=NEVER),
    _drop_in("postfix_smtp_messages_processed_total", "Delivery attempts of smtp, one for each recipient.",
             Label("status", STATUSES)),
    _drop_in("postfix_smtp_deferred_messages_by_dsn_total", "Deferred deliveries of smtp by enhanced status code.",
             Label("dsn", _enhanced_codes(4))),
    _drop_in("postfix_smtp_bounced_messages_by_dsn_total", "Bounced deliveries of smtp by enhanced status code.",
             Label("dsn", _enhanced_codes(5))),
    _drop_in("postfix_smtp_status_deferred", "Deferred deliveries of smtp.",
             note="A counter with the name of a gauge; exposed as untyped. rate() works on it."),
    _drop_in("postfix_smtp_connection_timed_out_total", "Connections to other servers that timed out."),
    _drop_in("postfix_smtpd_connects_total", "Connections from clients."),
    _drop_in("postfix_smtpd_disconnects_total", "Connections from clients that ended."),
    _drop_in("postfix_smtpd_forward_confirmed_reverse_dns_errors_total",
             "Clients whose host name does not resolve to their address."),
    _drop_in("postfix_smtpd_connections_lost_total", "Connections that clients dropped, by the last SMTP command.",
             Label("after_stage", STAGES)),
    _drop_in("postfix_smtpd_messages_processed_total", "Messages accepted from clients, by SASL method.",
             Label("sasl_method", ("NONE", *METHODS))),
    _drop_in("postfix_smtpd_messages_rejected_total", "Recipients refused by smtpd, by SMTP reply code.",
             Label("code", REPLY_CODES), note="Refusals at the RCPT command, relay attempts among them."),
    _drop_in("postfix_smtpd_sasl_authentication_failures_total", "SASL authentication failures of clients.",
             note="Without failures of our own authentication server: postfix_sasl_backend_failures_total."),
    _drop_in("postfix_bounce_non_delivery_notification_total", "Non-delivery notifications sent."),
    _drop_in("postfix_postscreen_connects_total", "Connections to postscreen."),
    _drop_in("postfix_postscreen_hangups_total", "Clients that hung up on postscreen."),
    _drop_in("postfix_postscreen_connects_rejected_total", "Connections that postscreen refused for want of room.",
             Label("reason", ("busy", "too_many_connections", OTHER))),
    _drop_in("postfix_postscreen_passes_total", "Clients that postscreen let pass.", Label("type", ("new", "old"))),
    _inserted("postfix_postscreen_dnsbl_rank", "Scores of clients in DNS block lists.",
              (0, 1, 2, 3, 4, 5, 6, 8, 10, 12, 15)),
    _drop_in("postfix_postscreen_messages_rejected_total", "Recipients refused by postscreen, by SMTP reply code.",
             Label("code", REPLY_CODES)),
    _drop_in("postfix_postscreen_tests_failed_total", "Tests of postscreen that clients failed.",
             Label("test", POSTSCREEN_FAILURES)),
    _drop_in("postfix_postscreen_access_list_matches_total", "Clients in postscreen's own access list.",
             Label("action", ("allow", "deny"))),
    _drop_in("postfix_virtual_delivered_total", "Deliveries by virtual."),
    _drop_in("postfix_unsupported_log_entries_total", "Log lines of Postfix that no rule reads yet, by daemon.",
             Label("service", DAEMONS), Label("level", get_args(Severity))),
)  # fmt: skip

POSTFIX = (
    Metric("postfix_sasl_failures_total", "counter", "Refused SASL exchanges of clients.",
           (SERVICE, Label("method", METHODS), Label("cause", get_args(AuthCause)))),
    Metric("postfix_sasl_probes_total", "counter", "Failed AUTH commands that only the end of the session tells of.",
           (SERVICE,)),
    Metric("postfix_sasl_backend_failures_total", "counter", "Failures of our own authentication server.",
           (Label("backend", ("dovecot", "cyrus")),)),
    Metric("postfix_relay_denied_total", "counter", "Refused attempts to relay mail through us.", (SERVICE,)),
    Metric("postfix_rejects_total", "counter", "Refused commands and messages that were no relay attempt.",
           (SERVICE, Label("stage", REJECT_STAGES), Label("category", CATEGORIES))),
    Metric("postfix_policy_actions_total", "counter", "What access tables and policies did other than refuse.",
           (SERVICE, Label("action", POLICY_ACTIONS))),
    Metric("postfix_milter_actions_total", "counter", "What milters did to messages.",
           (SERVICE, Label("action", ("reject", "hold", "discard", OTHER)))),
    Metric("postfix_milter_faults_total", "counter", "Refusals because our own milter was down.", (SERVICE,)),
    Metric("postfix_tls_errors_total", "counter", "TLS handshakes and sessions that failed.",
           (Label("direction", get_args(Direction)), Label("error", TLS_ERRORS))),
    Metric("postfix_protocol_violations_total", "counter", "Breaches of the SMTP protocol that smtpd logs.",
           (SERVICE, Label("violation", get_args(Violation)))),
    Metric("postfix_dnsbl_listings_total", "counter", "Clients of postscreen found in a DNS block list, per list."),
    Metric("postfix_content_actions_total", "counter", "What header, body, MIME and milter header checks did.",
           (SERVICE, Label("action", (*CONTENT_ACTIONS, OTHER)), Label("part", get_args(ContentPart))),
           precreate=False),
    Metric("postfix_proxy_verdicts_total", "counter", "Answers of a content filter before the queue.",
           (SERVICE, Label("verdict", ("accept", "reject")))),
    Metric("postfix_dovecot_auth_failures_total", "counter", "Failed logins at Dovecot, where its lines are asked for.",
           (Label("protocol", ("imap", "pop3", "submission", "sieve")), Label("cause", get_args(AuthCause)))),
    Metric("postfix_certificates_rejected_total", "counter", "Certificates of peers that did not verify.",
           (Label("direction", get_args(Direction)),)),
    Metric("postfix_tls_misconfigured_total", "counter", "Our own TLS settings or keys that could not be used."),
    Metric("postfix_tls_policy_failures_total", "counter", "Servers that did not meet our TLS policy.",
           (Label("policy", get_args(TlsPolicy)),)),
    Metric("postfix_outbound_auth_failures_total", "counter", "Our own logins that another server refused."),
    Metric("postfix_delivery_attempts_failed_total", "counter", "Servers that did not serve."),
    Metric("postfix_sender_notifications_total", "counter", "Notifications about messages.",
           (Label("notice", ("non_delivery", "delay", "success", "postmaster")),)),
    Metric("postfix_queue_changes_total", "counter", "Messages that postsuper changed, by its sums.",
           (Label("action", get_args(QueueAction)),)),
    Metric("postfix_service_problems_total", "counter", "What Postfix says of its own state.",
           (Label("problem", PROBLEMS),)),
    Metric("postfix_rate_limited_total", "counter", "Requests refused because a client ran into a limit of anvil.",
           (SERVICE, Label("limit", get_args(Limit)))),
    Metric("postfix_session_aborts_total", "counter", "Sessions that ended without QUIT, by the last SMTP command.",
           (SERVICE, Label("reason", get_args(AbortReason)), Label("stage", STAGES))),
    Metric("postfix_messages_accepted_total", "counter", "Messages accepted, by where they came in.",
           (SERVICE, Label("origin", get_args(Origin)), Label("authenticated", ("yes", "no")))),
    Metric("postfix_deliveries_total", "counter", "Delivery attempts, one for each recipient.",
           (Label("daemon", DELIVERY_DAEMONS), Label("status", STATUSES))),
)  # fmt: skip

OWN = (
    Metric("pfwatch_lines_total", "counter", "Log lines read, by what became of them.",
           (SOURCE, Label("fate", FATES)), note="The fates add up to all lines, exactly."),
    Metric("pfwatch_losses_total", "counter", "Gaps in what was read, whether their size is known or not.", LOSS,
           note="Each is said in pfwatch's own log and kept for 90 days."),
    Metric("pfwatch_lines_missed_total", "counter", "Log lines that could never be read, where their number is known.",
           LOSS, note="What a syslog daemon dropped may have been lines of other programs, too."),
    Metric("pfwatch_bytes_missed_total", "counter", "Bytes of log that could never be read, where only that is known.",
           LOSS),
    Metric("pfwatch_source_up", "gauge", "Whether the source can be read.", (SOURCE,)),
    Metric("pfwatch_source_lag_seconds", "gauge",
           "Age of the newest record that was read while more is to be read; 0 at the end of the source.", (SOURCE,)),
    Metric("pfwatch_source_last_record_timestamp_seconds", "gauge", "Time of the newest record.", (SOURCE,)),
    Metric("pfwatch_journal_forged_total", "counter",
           "Journal entries that claim to be Postfix's and were written by another program; not read.", (SOURCE,)),
    Metric("pfwatch_incidents_total", "counter", "Incidents opened.",
           (RULE, Label("severity", ("info", "warning", "critical")))),
    Metric("pfwatch_incidents_open", "gauge", "Incidents that go on now.", (RULE,)),
    Metric("pfwatch_notifications_total", "counter", "Attempts to send a notification.",
           (Label("channel", seeds=("mail",)), Label("result", NOTIFICATION_RESULTS))),
    Metric("pfwatch_notifications_suppressed_total", "counter", "Notifications not sent, by reason.",
           (Label("reason"),)),
    Metric("pfwatch_subjects_evicted_total", "counter", "Subjects given up because a rule watched too many at once.",
           (RULE,)),
    Metric("pfwatch_incident_texts_dropped_total", "counter",
           "Accounts, recipients and other texts of incidents given up because all took too much room.", (RULE,)),
    Metric("pfwatch_store_up", "gauge", "Whether the state could be committed when it was last tried.",
           note="While it is 0 counters stand still, and reading and alerting go on from memory."),
    Metric("pfwatch_store_last_commit_timestamp_seconds", "gauge", "Time of the last commit of the state."),
    Metric("pfwatch_store_commit_seconds", "histogram", "Seconds that a commit of the state took.", (),
           COMMIT_BUCKETS, MICROSECONDS),
    Metric("pfwatch_config_last_reload_successful", "gauge", "Whether the last reload of the configuration succeeded."),
    Metric("pfwatch_config_last_reload_success_timestamp_seconds", "gauge",
           "Time of the last successful load of the configuration."),
    Metric("pfwatch_build_info", "gauge", "Always 1; the labels say what runs.", (Label("version"), Label("python"))),
)  # fmt: skip

METRICS: tuple[Metric, ...] = DROP_IN + POSTFIX + OWN

_QUEUE = "The queue is not looked into yet."
NOT_EXPORTED: dict[str, str] = {
    "postfix_up": "It tells of reading the queue. Whether a log can be read is pfwatch_source_up.",
    "postfix_showq_message_size_bytes": _QUEUE,
    "postfix_showq_message_age_seconds": _QUEUE,
    "postfix_showq_queue_depth": _QUEUE,
    "opendkim_signatures_added_total": "Its labels hold addresses and domains without bound, and it is deprecated.",
}
