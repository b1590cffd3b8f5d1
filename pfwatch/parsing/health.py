"""Trouble that any daemon can have: tables, sockets, disks, helpers that do not answer; and how a process ends.

Enters: match objects, and the tables of `tables`, `servers` and `configuration`. Leaves: events, and `EVERYWHERE`,
which every daemon's table ends with. This file must never know a session.

A warning without a rule stays unsupported on purpose. What ends a process (`fatal`, `panic`) is always read.
"""

from pfwatch.parsing.configuration import CONFIGURATION
from pfwatch.parsing.fragments import QUEUE_ID
from pfwatch.parsing.rule import Rule
from pfwatch.parsing.servers import SERVERS
from pfwatch.parsing.tables import TABLES
from pfwatch.parsing.trouble import PATH, health, storage

_CLEANUP = "Nov 22 10:00:00 mx1 postfix/cleanup[302]: "
_QMGR = "Nov 22 10:00:00 mx1 postfix/qmgr[218]: "
_SMTPD = "Nov 22 10:00:00 mx1 postfix/smtpd[301]: "

_QUEUE = (
    Rule(
        name="queue-create",
        since="2.10",
        example=f"{_CLEANUP}warning: mail_queue_enter: create file incoming/123456.302: No space left on device",
        pattern=r"warning: mail_queue_enter: create file (?P<subject>[a-z]++)/[^ ]+: .*",
        words=("warning",),
        build=storage,
        source="global/mail_queue.c: mail_queue_enter",
    ),
    Rule(
        name="queue-write",
        since="2.10",
        example=f"{_CLEANUP}warning: 20C0C58: write queue file: No space left on device",
        pattern=rf"warning: (?:{QUEUE_ID}: )?(?:error writing|write) queue file: .*",
        words=("warning",),
        build=storage,
        source="cleanup/cleanup_out.c: cleanup_out",
    ),
    Rule(
        name="queue-low-space",
        since="2.10",
        example=f"{_SMTPD}warning: not enough free space in mail queue: 78776385536 bytes < 1.5*message size limit",
        pattern=r"warning: not enough free space in (?P<subject>mail queue): .*",
        words=("warning",),
        build=health("disk_full"),
        source="smtpd/smtpd_check.c: smtpd_check_queue",
    ),
    Rule(
        name="queue-proxy-log",
        since="2.10",
        example=f"{_SMTPD}warning: proxy speed-adjust log I/O error: No space left on device",
        pattern=r"warning: (?P<subject>proxy speed-adjust log) I/O error: .*",
        words=("warning",),
        build=storage,
        source="smtpd/smtpd_proxy.c: smtpd_proxy_replay_rdwr_error",
    ),
    Rule(
        name="queue-corrupt-file",
        since="2.10",
        example=f'{_QMGR}warning: saving corrupt file "20C0C58" from queue "active" to queue "corrupt"',
        pattern=r'warning: saving corrupt file "(?P<subject>[^"]++)" from queue "[a-z]++" to queue "[a-z]++"',
        words=("warning",),
        build=health("other"),
        source="global/mark_corrupt.c: mark_corrupt; qmgr/qmgr_active.c: qmgr_active_corrupt",
    ),
    Rule(
        # The destination may have been typed by whoever sent the mail: it is no subject.
        name="queue-clogged",
        since="2.10",
        example=f"{_QMGR}warning: mail for example.net is using up 4001 of 5000 active queue entries",
        pattern=r"warning: mail for .{1,300}? is using up [0-9]++ of [0-9]++ (?P<subject>active queue) entries",
        words=("warning",),
        build=health("other"),
        source="qmgr/qmgr_entry.c: qmgr_entry_create",
    ),
    Rule(
        name="queue-clogged-advice",
        since="2.10",
        example=f"{_QMGR}warning: this may slow down other mail deliveries",
        pattern=r"warning: (?:this may slow down other mail deliveries|you may need (?:to (?:increase|reduce)|a "
        r"separate) .*"
        r"|so that Postfix .*|please avoid flushing the whole queue when you have|lots of deferred mail, that is bad "
        r"for "
        r"performance|to turn off these warnings specify: [a-z_]++ = 0)",
        words=("warning",),
        build=health("other", part=True),
        source="qmgr/qmgr_entry.c: qmgr_entry_create",
    ),
)

_MACHINE = (
    Rule(
        name="clock-file-system",
        since="2.10",
        example=f"{_CLEANUP}warning: file system clock is 3600 seconds ahead of local clock",
        pattern=r"warning: (?P<subject>file system clock) is [0-9]++ seconds (?:ahead of|behind) local clock",
        words=("warning",),
        build=health("other"),
        source="global/mail_stream.c: mail_stream_finish_file; global/mail_open_ok.c",
    ),
    Rule(
        name="clock-backward",
        since="2.10",
        example=f"{_QMGR}warning: backward time jump detected -- slewing clock",
        pattern=r"warning: (?:[a-z]++ )?backward time jump (?:detected -- slewing clock|recovered -- back to "
        r"normality)",
        words=("warning",),
        build=health("other"),
        source="util/sane_time.c: sane_time",
    ),
    Rule(
        name="clock-message-date",
        since="2.10",
        example="Nov 22 10:00:00 mx1 postfix/pickup[217]: warning: 20C0C58: message dated 3600 seconds into the future",
        pattern=rf"warning: {QUEUE_ID}: message dated [0-9]++ seconds into the future",
        words=("warning",),
        build=health("other"),
        source="pickup/pickup.c: pickup_copy",
    ),
    Rule(
        name="pickup-late",
        since="2.10",
        example="Nov 22 10:00:00 mx1 postfix/pickup[217]: warning: 20C0C58: message has been queued for 3 days",
        pattern=rf"warning: {QUEUE_ID}: message has been queued for [0-9]++ days",
        words=("warning",),
        build=health("other"),
        source="pickup/pickup.c: pickup_copy",
    ),
)

_ENDED = (
    Rule(
        # Whatever it was that had to be written: the text may name a file of any kind.
        name="fatal-disk-full",
        since="2.10",
        example="Nov 22 10:00:00 mx1 postfix/bounce[258]: fatal: write file defer 20C0C58: No space left on device",
        pattern=r"fatal: .*: (?:No space left on device|Disk quota exceeded)",
        words=("fatal",),
        build=storage,
        source="every program: msg_fatal with %m",
    ),
    Rule(
        name="fatal-file",
        since="2.10",
        example=f"{_SMTPD}fatal: open database /etc/postfix/access.db: No such file or directory",
        pattern=r"fatal: open (?:(?:database|directory|file|lock file|dictionary) )?(?P<subject>/?[A-Za-z0-9_.-]+/[^ "
        r"]*[^ :]): "
        r"(?!.*: (?:No space left on device|Disk quota exceeded)\Z|No space left on device\Z|Disk quota exceeded\Z).*",
        words=("fatal",),
        build=health("fatal"),
        source="util/dict_db.c, dict_cdb.c, dict_lmdb.c; global/mail_conf.c; master/master.c",
    ),
    Rule(
        name="fatal-file-line",
        since="2.10",
        example="Nov 22 10:29:09 mx1 postfix/master[1334]: fatal: /etc/postfix/master.cf: line 144: bad transport "
        "type: line",
        pattern=rf"fatal: {PATH}(?::|,) line [0-9]++: (?!.*: (?:No space left on device|Disk quota exceeded)\Z).*",
        words=("fatal",),
        build=health("fatal"),
        source="master/master_ent.c: fatal_with_context; util/dict.c: dict_load_fp",
    ),
    Rule(
        name="fatal-parameter",
        since="2.10",
        example=f"{_SMTPD}fatal: parameter smtpd_timeout: bad time value or unit: banana",
        pattern=r"fatal: (?:in )?parameter (?P<subject>[a-z0-9_]++)(?: or [a-z0-9_]++)*[:,] .*",
        words=("fatal",),
        build=health("fatal"),
        source="global/mail_conf_time.c; smtpd/smtpd_check.c: fail_required",
    ),
    Rule(
        name="fatal-bind",
        since="2.10",
        example="Nov 22 10:00:00 mx1 postfix/master[99]: fatal: bind 0.0.0.0 port 25: Address already in use",
        pattern=r"fatal: bind (?P<subject>[^ ]++ port [0-9]++): .*",
        words=("fatal",),
        build=health("fatal"),
        source="util/inet_listen.c: inet_listen",
    ),
    Rule(
        name="fatal-watchdog",
        since="2.10",
        example=f"{_QMGR}fatal: watchdog timeout",
        pattern=r"fatal: (?P<subject>watchdog) timeout",
        words=("fatal",),
        build=health("fatal"),
        source="util/watchdog.c: watchdog_event",
    ),
    Rule(
        name="fatal-memory",
        since="2.10",
        example=f"{_SMTPD}fatal: mymalloc: insufficient memory for 65536 bytes: Cannot allocate memory",
        pattern=r"fatal: my(?:malloc|realloc|strdup|strndup|memdup): insufficient (?P<subject>memory) for .*",
        words=("fatal",),
        build=health("fatal"),
        source="util/mymalloc.c",
    ),
    Rule(
        name="fatal",
        since="2.10",
        example="Nov 22 10:00:00 mx1 postfix/postfix-script[99]: fatal: the Postfix mail system is already running",
        pattern=r"fatal: .*",
        words=("fatal",),
        build=health("fatal"),
        fallback=True,
        source="every program: msg_fatal",
    ),
    Rule(
        name="panic",
        since="2.10",
        example=f"{_SMTPD}panic: vbuf_print: null pointer",
        pattern=r"panic: .*",
        words=("panic",),
        build=health("panic"),
        fallback=True,
        source="every program: msg_panic",
    ),
)

COMMAND = (*CONFIGURATION, *_ENDED)
"""What the postfix(1) command can say of these. A syslog template that cuts the tag at its slash puts the lines of all
daemons under the bare tag `postfix`, where they must not be read as the command's."""

EVERYWHERE = (*TABLES, *SERVERS, *_QUEUE, *_MACHINE, *CONFIGURATION, *_ENDED)
