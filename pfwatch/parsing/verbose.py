"""Lines that are written where an administrator looks closer, and other rare ones without a place of their own.

Enters: match objects. Leaves: housekeeping, mostly, and rules. This file must never know a session.
"""

from typing import Final

from pfwatch.parsing.rule import Rule
from pfwatch.parsing.trouble import health, housekeeping

_HEAD: Final = "Nov 24 10:00:00 mx1 postfix/"

TLSMGR: Final = (
    Rule(
        name="tlsmgr-verbose",
        since="2.10",
        example=f"{_HEAD}tlsmgr[305]: put smtpd session id=C11DE1E23A&s=smtp&l=805306672 [data 142 bytes]",
        pattern=r"(?:open|look ?up|put|write|read|delete|remove|expire) (?:smtpd|smtp|lmtp) (?:TLS cache|session).*"
        r"|tlsmgr_cache_run_event: .*",
        words=(
            "open",
            "look",
            "lookup",
            "put",
            "write",
            "read",
            "delete",
            "remove",
            "expire",
            "tlsmgr_cache_run_event",
        ),
        build=housekeeping("tls_verbose"),
        source="tls/tls_scache.c; tlsmgr/tlsmgr.c: tlsmgr_cache_run_event",
    ),
)
"""smtpd_tls_loglevel or smtp_tls_loglevel of 2 and above."""

QMGR: Final = (
    Rule(
        name="qmgr-feedback-settings",
        since="2.10",
        example=f"{_HEAD}qmgr[218]: slow: default_destination_concurrency_negative_feedback feedback type 0 value "
        "at 5: 1",
        pattern=r"[A-Za-z0-9_-]++: [a-z_]{1,60}_(?:positive|negative)_feedback feedback type [0-9]++ value at .*",
        words=("", "error"),  # a transport's name, and one of them is `error`
        build=housekeeping("concurrency"),
        source="qmgr/qmgr_feedback.c: qmgr_feedback_init",
    ),
    Rule(
        name="qmgr-feedback-verbose",
        since="2.10",
        example=f"{_HEAD}qmgr[218]: qmgr_queue_unthrottle: queue example.net: limit 20 window 7 success 0 failure 0 "
        "fail_cohorts 0",
        pattern=r"qmgr_queue_(?:un)?throttle: .*",
        words=("qmgr_queue_throttle", "qmgr_queue_unthrottle"),
        build=housekeeping("concurrency"),
        source="qmgr/qmgr_queue.c: qmgr_queue_unthrottle",
    ),
)
"""destination_concurrency_feedback_debug."""

SMTP: Final = (
    Rule(
        name="smtp-starttls-offered",
        since="2.10",
        example=f"{_HEAD}smtp[306]: Host offered STARTTLS: [mx.example.net]",
        pattern=r"Host offered STARTTLS: \[.*\]",
        words=("Host",),
        build=housekeeping("server_offer"),
        source="smtp/smtp_proto.c: smtp_helo",
    ),
    Rule(
        name="smtp-fingerprint-verbose",
        since="2.10",
        example=f"{_HEAD}smtp[306]: fingerprint: digest as private-use TLSA record: 3 0 255 0011",
        pattern=r"fingerprint: digest as private-use TLSA record: .*",
        words=("fingerprint",),
        build=housekeeping("tls_verbose"),
        source="tls/tls_dane.c: tls_dane_add_fpt_digests",
    ),
)

RESOLVER: Final = (
    Rule(
        name="resolver-odd-answer",
        since="2.10",
        example=f"{_HEAD}dnsblog[303]: warning: malformed domain name in resource name of SOA record for "
        "2.2.0.192.list.example.net: ",
        pattern=r"warning: malformed domain name in resource (?:name|data) of [A-Z0-9]{1,16} record for .*",
        words=("warning",),
        build=housekeeping("odd_dns_answer"),
        source="dns/dns_lookup.c: valid_rr_name",
    ),
    Rule(
        name="resolver-odd-name",
        since="2.10",
        example=f"{_HEAD}dnsblog[303]: warning: valid_hostname: empty hostname",
        pattern=r"warning: valid_hostname: .*",
        words=("warning",),
        build=housekeeping("odd_dns_answer"),
        source="util/valid_hostname.c: valid_hostname",
    ),
)
"""What a look-up brought: of whoever runs the zone, never of a client."""

MAILBOX: Final = (
    Rule(
        name="mailbox-lock",
        since="2.10",
        example=f"{_HEAD}local[308]: warning: unable to create lock file /var/mail/alice.lock: Permission denied",
        pattern=r"warning: unable to create lock file (?P<subject>.*?): .*",
        words=("warning",),
        build=health("permissions"),
        source="global/dot_lockfile.c: dot_lockfile",
    ),
)

RECORDS: Final = (
    Rule(
        name="record-cut-off",
        since="2.10",
        # Of a queue file, `saving corrupt file` follows and is the event; of standard input a program went away.
        example=f"{_HEAD}qmgr[218]: warning: active/ABCDEF0123: unexpected EOF in data, record type 106 length 117",
        pattern=r"warning: (?:[a-z]++/[A-Za-z0-9]++|stdin): unexpected EOF in (?:data|header).*",
        words=("warning",),
        build=housekeeping("damaged_record"),
        source="global/record.c: rec_get_raw",
    ),
)

CHECKS: Final = (
    Rule(
        name="content-check-bad-command",
        since="2.10",
        example=f"{_HEAD}cleanup[302]: warning: bad FILTER command x in header_checks -- need transport:destination",
        pattern=r"warning: bad [A-Z]++ command .*? in (?P<subject>[a-z_]++) -- need .*",
        words=("warning",),
        build=health("config_warning"),
        source="cleanup/cleanup_message.c: cleanup_act",
    ),
)

SCRIPT: Final = (
    Rule(
        name="postfix-script-advice",
        since="2.10",
        example=f"{_HEAD}postfix-script[272]: error: to submit mail, use the Postfix sendmail command",
        pattern=r"error: (?:to submit mail, use the Postfix sendmail command"
        r"|the postfix command is reserved for the superuser)",
        words=("error",),
        build=housekeeping("advice"),
        source="conf/postfix-script",
    ),
)
