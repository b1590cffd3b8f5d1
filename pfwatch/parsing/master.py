"""master and postfix(1) with its script: starting, stopping, processes that end, files that are wrong.

Enters: match objects; the commands' table from `commands`. Leaves: events and rules. This file must never know a
session.

A start, a stop and a reload are said twice: by the script that asks for it, and by master that does it. master's line
counts, also when a signal came without the script; the script's is a part of it.
"""

from pfwatch.parsing import commands
from pfwatch.parsing.rule import Rule
from pfwatch.parsing.trouble import PATH, health, housekeeping

_MASTER = "Nov 22 10:00:01 mx1 postfix/master[99]: "
_SCRIPT = "Nov 22 09:52:50 mx1 postfix/postfix-script[214]: "

COMMANDS = commands.COMMANDS

MASTER = (
    Rule(
        name="master-started",
        since="2.10",
        example=f"{_MASTER}daemon started -- version 3.7.11, configuration /etc/postfix",
        pattern=r"daemon started -- version [^ ,]++(?:, configuration (?P<subject>.*))?",
        words=("daemon",),
        build=health("started"),
        source="master/master.c: main",
    ),
    Rule(
        name="master-reloaded",
        since="2.10",
        example=f"{_MASTER}reload -- version 3.7.11, configuration /etc/postfix",
        pattern=r"reload -- version [^ ,]++(?:, configuration (?P<subject>.*))?",
        words=("reload",),
        build=health("reloaded"),
        source="master/master.c: main",
    ),
    Rule(
        name="master-stopped",
        since="2.10",
        example=f"{_MASTER}terminating on signal 15",
        pattern=r"terminating on signal [0-9]++",
        words=("terminating",),
        build=health("stopped"),
        source="master/master_sig.c: master_sigdeath",
    ),
    Rule(
        name="master-child-exit",
        since="2.10",
        example=f"{_MASTER}warning: process /usr/lib/postfix/sbin/smtpd pid 301 exit status 1",
        pattern=r"warning: process (?P<subject>[^ ]++) pid [0-9]++ exit status [0-9]++",
        words=("warning",),
        build=health("child_exit"),
        source="master/master_spawn.c: master_reap_child",
    ),
    Rule(
        name="master-child-signal",
        since="2.10",
        example=f"{_MASTER}warning: process /usr/lib/postfix/sbin/qmgr pid 1418 killed by signal 9",
        pattern=r"warning: process (?P<subject>[^ ]++) pid [0-9]++ (?:killed|stopped) by signal [0-9]++",
        words=("warning",),
        build=health("child_signal"),
        source="master/master_spawn.c: master_reap_child",
    ),
    Rule(
        name="master-throttled",
        since="2.10",
        example=f"{_MASTER}warning: /usr/lib/postfix/sbin/smtpd: bad command startup -- throttling",
        pattern=rf"warning: (?:{PATH}: bad command startup|[a-z_]++: fork: .*) -- throttling",
        words=("warning",),
        build=health("throttled"),
        source="master/master_spawn.c: master_spawn, master_reap_child",
    ),
    Rule(
        name="master-process-limit",
        since="2.10",
        example=f'{_MASTER}warning: service "smtp" (25) has reached its process limit "100": new clients may '
        "experience "
        "noticeable delays",
        pattern=r'warning: service "(?P<subject>[^"]++)" \([^)]*+\) has reached its process limit "[0-9]++": .*',
        words=("warning",),
        build=health("process_limit"),
        source="master/master_avail.c: master_avail_event",
    ),
    Rule(
        name="master-process-limit-advice",
        since="2.10",
        example=f"{_MASTER}warning: to avoid this condition, increase the process count in master.cf or reduce the "
        "service "
        "time per client",
        pattern=r"warning: (?:to avoid this condition, increase the process count in master\.cf .*"
        r"|see https?://www\.postfix\.org/STRESS_README\.html .*)",
        words=("warning",),
        build=health("process_limit", part=True),
        source="master/master_avail.c: master_avail_event",
    ),
    Rule(
        name="master-wakeup",
        since="2.10",
        example=f"{_MASTER}warning: master_wakeup_timer_event: service pickup(public/pickup): Connection refused",
        pattern=r"warning: master_wakeup_timer_event: service [^ (]++\((?P<subject>[^ )]++)\): .*",
        words=("warning",),
        build=health("ipc_error"),
        source="master/master_wakeup.c: master_wakeup_timer_event",
    ),
    Rule(
        name="master-status-update",
        since="2.10",
        example=f"{_MASTER}warning: service smtp(25): child (pid 301) sent partial status update (4 bytes)",
        pattern=r"warning: service (?P<subject>[^ (]++)\([^ )]*+\): child \(pid [0-9]++\) sent partial status update "
        r".*",
        words=("warning",),
        build=health("ipc_error"),
        source="master/master_status.c: master_status_event",
    ),
    Rule(
        name="master-duplicate-entry",
        since="2.10",
        example=f'{_MASTER}warning: duplicate master.cf entry for service "smtp" (25) -- using the last entry',
        pattern=r'warning: duplicate master\.cf entry(?: for service "(?P<subject>[^"]++)".*)?',
        words=("warning",),
        build=health("config_warning"),
        source="master/master_conf.c: master_refresh, set_master_ent",
    ),
    Rule(
        name="master-change-ignored",
        since="2.10",
        example=f"{_MASTER}warning: ignoring inet_interfaces parameter value change",
        pattern=r"warning: (?:ignoring (?P<subject>[a-z0-9_]++) parameter value|service [^ ]++ ignoring .{1,100}?) "
        r"change",
        words=("warning",),
        build=health("config_warning"),
        source="master/master_ent.c: get_master_ent; master/master_conf.c",
    ),
    Rule(
        name="master-change-ignored-advice",
        since="2.10",
        example=f"{_MASTER}warning: to change inet_interfaces, stop and start Postfix",
        pattern=r'warning: (?:old value: "(?=.*", new value: ").*"|to change [a-z0-9_]++, stop and start Postfix)',
        words=("warning",),
        build=health("config_warning", part=True),
        source="master/master_ent.c: get_master_ent",
    ),
    Rule(
        # The index is by the first word, which is the file: other configuration directories are not known here.
        name="master-compatibility",
        since="3.0",
        example=f"{_MASTER}/etc/postfix/master.cf: line 12: using backwards-compatible default setting chroot=y",
        pattern=r"/etc/postfix/master\.cf: line [0-9]++: using backwards-compatible default setting "
        r"(?P<subject>[a-z_]++)=.*",
        words=("/etc/postfix/master.cf",),
        build=health("compatibility"),
        source="master/master_ent.c: get_str_ent",
    ),
)

POSTFIX = (
    Rule(
        name="postfix-starting",
        since="2.10",
        example=f"{_SCRIPT}starting the Postfix mail system",
        pattern=r"starting the Postfix mail system",
        words=("starting",),
        build=health("started", part=True),
        source="conf/postfix-script",
    ),
    Rule(
        name="postfix-stopping",
        since="2.10",
        example=f"{_SCRIPT}stopping the Postfix mail system",
        pattern=r"(?:stopping|aborting) the Postfix mail system|(?:warning: )?stopping the Postfix mail system with "
        r"force",
        words=("stopping", "aborting", "warning"),
        build=health("stopped", part=True),
        source="conf/postfix-script",
    ),
    Rule(
        name="postfix-refreshing",
        since="2.10",
        example=f"{_SCRIPT}refreshing the Postfix mail system",
        pattern=r"refreshing the Postfix mail system",
        words=("refreshing",),
        build=health("reloaded", part=True),
        source="conf/postfix-script",
    ),
    Rule(
        name="postfix-waiting",
        since="2.10",
        example=f"{_SCRIPT}waiting for the Postfix mail system to terminate",
        pattern=r"waiting for the Postfix mail system to terminate",
        words=("waiting",),
        build=housekeeping("stopping"),
        source="conf/postfix-script",
    ),
    Rule(
        name="postfix-status",
        since="2.10",
        example=f"{_SCRIPT}the Postfix mail system is running: PID: 216",
        pattern=r"the Postfix mail system is (?:not )?running(?:: PID: *[0-9]*)?",
        words=("the",),
        build=housekeeping("status"),
        source="conf/postfix-script",
    ),
    Rule(
        name="postfix-permissions",
        since="2.10",
        example=f"{_SCRIPT}warning: not owned by root: /etc/postfix/main.cf",
        pattern=r"warning: (?:not owned by (?:group )?[A-Za-z0-9._-]++|group or other writable|not set-gid or not "
        r"owner\+group"
        r"\+world executable|symlink leaves directory): (?P<subject>.*)",
        words=("warning",),
        build=health("permissions"),
        source="conf/postfix-script: check-warn",
    ),
    Rule(
        name="postfix-damaged-message",
        since="2.10",
        example=f"{_SCRIPT}warning: damaged message: corrupt/20C0C58",
        pattern=r"warning: damaged message: (?P<subject>.*)",
        words=("warning",),
        build=health("other"),
        source="conf/postfix-script: check-warn",
    ),
    Rule(
        name="postfix-files-differ",
        since="2.10",
        example=f"{_SCRIPT}warning: /var/spool/postfix/etc/hosts and /etc/hosts differ",
        pattern=rf"warning: {PATH} and /[^ ]++ differ",
        words=("warning",),
        build=health("config_warning"),
        source="conf/postfix-script: check-warn",
    ),
    Rule(
        name="postfix-files-differ-advice",
        since="2.10",
        example=f"{_SCRIPT}warning: Replace one by a symbolic link to the other",
        pattern=r"warning: Replace one by a symbolic link to the other",
        words=("warning",),
        build=health("config_warning", part=True),
        source="conf/postfix-script: check-warn",
    ),
    Rule(
        name="postfix-compatibility",
        since="3.0",
        example="Nov 22 09:52:50 mx1 postfix[85]: Postfix is using backwards-compatible default settings",
        pattern=r"Postfix is (?:running with|using) backwards-compatible default settings",
        words=("Postfix",),
        build=health("compatibility"),
        source="postfix/postfix.c: main",
    ),
    Rule(
        name="postfix-compatibility-advice",
        since="3.0",
        example='Nov 22 09:52:50 mx1 postfix[85]: To disable backwards compatibility use "postconf '
        'compatibility_level=3.6" and "postfix reload"',
        pattern=r"See https?://www\.postfix\.org/COMPATIBILITY_README\.html for details"
        r"|To disable backwards compatibility use \"postconf compatibility_level=.*",
        words=("See", "To"),
        build=health("compatibility", part=True),
        source="postfix/postfix.c: main",
    ),
)
