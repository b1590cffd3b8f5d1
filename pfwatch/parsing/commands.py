"""Commands and small daemons without a table of their own: proxymap, trivial-rewrite, spawn, sendmail, postmap.

Enters: match objects. Leaves: events and rules. This file must never know a session.

Any local user can call a command wrongly: that ends the command with `fatal`, and says nothing of the mail system.
"""

from pfwatch.parsing.rule import Rule
from pfwatch.parsing.trouble import PATH, TABLE, health, housekeeping, storage

_SENDMAIL = "Nov 22 10:00:00 mx1 postfix/sendmail[308]: "

COMMANDS = (
    Rule(
        name="sendmail-malformed-sender",
        since="2.10",
        example="Nov 24 10:00:00 mx1 postfix/sendmail[308]: warning: -f option specified malformed sender: a b",
        pattern=r"warning: -f option specified malformed sender: .*",
        words=("warning",),
        build=housekeeping("malformed_sender"),
        source="sendmail/sendmail.c: main",
    ),
    Rule(
        name="spawn-exit",
        since="2.10",
        example="Nov 22 10:00:00 mx1 postfix/spawn[312]: warning: command /usr/local/bin/policy exit status 1",
        pattern=r"warning: command (?P<subject>[^ ]++) exit status [0-9]++",
        words=("warning",),
        build=health("child_exit"),
        source="spawn/spawn.c: spawn_service",
    ),
    Rule(
        name="spawn-signal",
        since="2.10",
        example="Nov 22 10:00:00 mx1 postfix/spawn[312]: warning: command /usr/local/bin/policy killed by signal 9",
        pattern=r"warning: command (?P<subject>[^ ]++) killed by signal [0-9]++",
        words=("warning",),
        build=health("child_signal"),
        source="spawn/spawn.c: spawn_service",
    ),
    Rule(
        name="proxymap-unapproved",
        since="2.10",
        example='Nov 22 10:00:00 mx1 postfix/proxymap[313]: warning: request for unapproved table: "unix:group.byname"',
        pattern=r'warning: request for unapproved table: "(?P<subject>[^"]++)"',
        words=("warning",),
        build=health("config_warning"),
        source="proxymap/proxymap.c: proxy_map_find",
    ),
    Rule(
        name="proxymap-unapproved-advice",
        since="2.10",
        example="Nov 22 10:00:00 mx1 postfix/proxymap[313]: warning: to approve this table for read-only access, list "
        "proxy:unix:group.byname in main.cf:proxy_read_maps",
        pattern=r"warning: to approve this table for [a-z-]++ access, list .*",
        words=("warning",),
        build=health("config_warning", part=True),
        source="proxymap/proxymap.c: proxy_map_find",
    ),
    Rule(
        # The table's own line comes first.
        name="rewrite-lookup-failure",
        since="2.10",
        example="Nov 22 10:00:00 mx1 postfix/trivial-rewrite[307]: warning: virtual_mailbox_domains lookup failure",
        pattern=r"warning: (?P<subject>[a-z0-9_]++) lookup failure",
        words=("warning",),
        build=health("map_error", part=True),
        source="trivial-rewrite/resolve.c: resolve_addr",
    ),
    Rule(
        name="rewrite-listed-twice",
        since="2.10",
        example="Nov 22 10:00:00 mx1 postfix/trivial-rewrite[307]: warning: do not list domain example.org in BOTH "
        "mydestination and virtual_mailbox_domains",
        pattern=r"warning: do not list domain .{1,300}? in BOTH (?P<subject>[a-z_]++) and [a-z_]++",
        words=("warning",),
        build=health("config_warning"),
        source="trivial-rewrite/resolve.c: resolve_addr",
    ),
    Rule(
        name="command-not-allowed",
        since="2.10",
        example=f"{_SENDMAIL}fatal: User www-data(33) is not allowed to submit mail",
        pattern=r"fatal: User (?P<subject>[A-Za-z0-9._-]++\(-?[0-9]++\)) is not allowed to .*",
        words=("fatal",),
        build=health("permissions"),
        source="sendmail/sendmail.c, postdrop/postdrop.c, postqueue/postqueue.c: main",
    ),
    Rule(
        name="command-usage",
        since="2.10",
        example=f"{_SENDMAIL}fatal: Recipient addresses must be specified on the command line or via the -t option",
        pattern=r"fatal: (?:[Uu]sage: |invalid option|Recipient addresses must be specified |(?:[^ ]+: )?(?:No "
        r"recipient "
        r"addresses found in message header|message file too big)|-[a-zA-Z] option ).*",
        words=("fatal",),
        build=health("other"),
        source="sendmail/sendmail.c: enqueue; usage of every command",
    ),
    Rule(
        name="command-set-uid",
        since="2.10",
        example=f"{_SENDMAIL}warning: the Postfix sendmail command has set-uid root file permissions",
        pattern=r"warning: the Postfix (?P<subject>sendmail) command has set-uid root file permissions",
        words=("warning",),
        build=health("permissions"),
        source="sendmail/sendmail.c: main",
    ),
    Rule(
        name="command-set-uid-advice",
        since="2.10",
        example=f"{_SENDMAIL}warning: or the command is run from a set-uid root process",
        pattern=r"warning: (?:or the command is run from a set-uid root process"
        r"|the Postfix sendmail command must be installed without set-uid root file permissions)",
        words=("warning",),
        build=health("permissions", part=True),
        source="sendmail/sendmail.c: main",
    ),
    Rule(
        name="postdrop-write",
        since="2.10",
        example="Nov 22 10:00:00 mx1 postfix/postdrop[309]: warning: uid=1000: No space left on device",
        pattern=r"warning: (?P<subject>uid=[0-9]++): (?!File too large\Z|malformed|unexpected|ignoring).*",
        words=("warning",),
        build=storage,
        source="postdrop/postdrop.c: main",
    ),
    Rule(
        # The user's message is above the limit.
        name="postdrop-too-large",
        since="2.10",
        example="Nov 22 10:00:00 mx1 postfix/postdrop[309]: warning: uid=1000: File too large",
        pattern=r"warning: (?P<subject>uid=[0-9]++): File too large",
        words=("warning",),
        build=health("other"),
        source="postdrop/postdrop.c: main",
    ),
    Rule(
        name="postqueue-down",
        since="2.10",
        example="Nov 22 10:00:00 mx1 postfix/postqueue[314]: warning: Mail system is down -- accessing queue directly "
        "(Connect to the Postfix showq service: Connection refused)",
        pattern=r"warning: Mail system is down -- accessing queue directly(?: \(Connect to the "
        r"(?:[^ )]*+ )*?(?P<subject>[a-z]++) service: .*)?",
        words=("warning",),
        build=health("ipc_error"),
        source="postqueue/postqueue.c: show_queue",
    ),
    Rule(
        name="postmap-duplicate",
        since="2.10",
        example="Nov 22 10:00:00 mx1 postfix/postmap[315]: warning: /etc/postfix/access.db: duplicate entry: "
        '"example.com"',
        pattern=rf"warning: {PATH}: (?:duplicate|ignoring duplicate) entry(?:: | for ).*",
        words=("warning",),
        build=health("config_warning"),
        source="util/dict_db.c, dict_cdb.c: update",
    ),
    Rule(
        name="postmap-duplicate-entry",
        since="2.11",
        example="Nov 22 10:00:00 mx1 postfix/postmap[315]: warning: lmdb:/etc/postfix/access: duplicate entry: "
        '"example.com"',
        pattern=rf"warning: {TABLE}: duplicate entry: .*",
        words=("warning",),
        build=health("config_warning"),
        source="util/dict_lmdb.c: dict_lmdb_update",
    ),
    Rule(
        name="postconf-parameter",
        since="2.10",
        example="Nov 22 10:00:00 mx1 postfix/postconf[316]: warning: /etc/postfix/main.cf: unused parameter: spam=no",
        pattern=rf"warning: {PATH}: (?:unused|undefined) parameter: .*",
        words=("warning",),
        build=health("config_warning"),
        source="postconf/postconf_unused.c",
    ),
)
