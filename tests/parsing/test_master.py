"""master, postfix(1) and the commands: what starts and ends, and what a local user can make of it."""

import pytest

from pfwatch.parsing.grammar import rules_by_word
from tests.parsing.test_health import explained
from tests.samples.logs import VERSIONS, logs, read

HEALTH = [
    ("master", "daemon started -- version 3.7.11, configuration /etc/postfix", "started", "/etc/postfix"),
    (
        "master",
        "daemon started -- version 3.12-20260821, configuration /etc/postfix-out",
        "started",
        "/etc/postfix-out",
    ),
    ("master", "reload -- version 3.7.11, configuration /etc/postfix", "reloaded", "/etc/postfix"),
    ("master", "terminating on signal 15", "stopped", ""),
    (
        "master",
        "warning: process /usr/lib/postfix/sbin/smtpd pid 301 exit status 1",
        "child_exit",
        "/usr/lib/postfix/sbin/smtpd",
    ),
    (
        "master",
        "warning: process /usr/lib/postfix/sbin/qmgr pid 1418 killed by signal 11",
        "child_signal",
        "/usr/lib/postfix/sbin/qmgr",
    ),
    (
        "master",
        "warning: /usr/lib/postfix/sbin/smtpd: bad command startup -- throttling",
        "throttled",
        "/usr/lib/postfix/sbin/smtpd",
    ),
    ("master", "warning: master_spawn: fork: Resource temporarily unavailable -- throttling", "throttled", ""),
    (
        "master",
        'warning: service "smtp" (25) has reached its process limit "100": new clients may experience delays',
        "process_limit",
        "smtp",
    ),
    (
        "master",
        "warning: master_wakeup_timer_event: service pickup(public/pickup): Connection refused",
        "ipc_error",
        "public/pickup",
    ),
    (
        "master",
        'warning: duplicate master.cf entry for service "smtp" (25) -- using the last entry',
        "config_warning",
        "smtp",
    ),
    ("master", "warning: ignoring inet_interfaces parameter value change", "config_warning", "inet_interfaces"),
    (
        "master",
        "/etc/postfix/master.cf: line 12: using backwards-compatible default setting chroot=y",
        "compatibility",
        "chroot",
    ),
    ("postfix-script", "fatal: the Postfix mail system is not running", "fatal", ""),
    ("postfix-script", "warning: not owned by root: /etc/postfix/main.cf", "permissions", "/etc/postfix/main.cf"),
    ("postfix-script", "warning: not owned by postfix: /var/lib/postfix/.", "permissions", "/var/lib/postfix/."),
    ("postfix-script", "warning: not owned by group postdrop: /usr/sbin/postdrop", "permissions", "/usr/sbin/postdrop"),
    ("postfix-script", "warning: group or other writable: /etc/postfix/./x", "permissions", "/etc/postfix/./x"),
    (
        "postfix-script",
        "warning: not set-gid or not owner+group+world executable: /usr/sbin/postdrop",
        "permissions",
        "/usr/sbin/postdrop",
    ),
    ("postfix-script", "warning: symlink leaves directory: /etc/postfix/./x", "permissions", "/etc/postfix/./x"),
    ("postfix-script", "warning: damaged message: corrupt/20C0C58", "other", "corrupt/20C0C58"),
    (
        "postfix-script",
        "warning: /var/spool/postfix/etc/hosts and /etc/hosts differ",
        "config_warning",
        "/var/spool/postfix/etc/hosts",
    ),
    ("postfix-script", "Postfix is running with backwards-compatible default settings", "compatibility", ""),
    ("spawn", "warning: command /usr/local/bin/policy exit status 1", "child_exit", "/usr/local/bin/policy"),
    ("spawn", "warning: command /usr/local/bin/policy killed by signal 9", "child_signal", "/usr/local/bin/policy"),
    ("proxymap", 'warning: request for unapproved table: "unix:group.byname"', "config_warning", "unix:group.byname"),
    (
        "trivial-rewrite",
        "warning: do not list domain example.org in BOTH mydestination and virtual_mailbox_domains",
        "config_warning",
        "mydestination",
    ),
    ("postqueue", "fatal: Queue report unavailable - mail system is down", "fatal", ""),
    ("postdrop", "warning: uid=1000: No space left on device", "disk_full", "uid=1000"),
    # any local user can cause these; the mail system is well
    ("sendmail", "fatal: User www-data(33) is not allowed to submit mail", "permissions", "www-data(33)"),
    ("sendmail", "fatal: usage: sendmail [options]", "other", ""),
    ("sendmail", "fatal: alice(1000): message file too big", "other", ""),
    ("postdrop", "warning: uid=1000: File too large", "other", "uid=1000"),
]


@pytest.mark.parametrize(("daemon", "body", "problem", "subject"), HEALTH, ids=[row[1][:70] for row in HEALTH])
def test_a_line_of_master_or_a_command_says_what_happened_to_what(
    daemon: str, body: str, problem: str, subject: str
) -> None:
    told = explained(daemon, body)
    assert (told["kind"], told["problem"], told["subject"]) == ("service_health", problem, subject)
    assert told["part_of"] is None


PARTS = [
    ("postfix-script", "starting the Postfix mail system", "started"),
    ("postfix-script", "stopping the Postfix mail system", "stopped"),
    ("postfix-script", "warning: stopping the Postfix mail system with force", "stopped"),
    ("postfix-script", "aborting the Postfix mail system", "stopped"),
    ("postfix-script", "refreshing the Postfix mail system", "reloaded"),
    ("postfix-script", "See https://www.postfix.org/COMPATIBILITY_README.html for details", "compatibility"),
    ("postfix-script", "See http://www.postfix.org/COMPATIBILITY_README.html for details", "compatibility"),
    (
        "postfix",
        'To disable backwards compatibility use "postconf compatibility_level=3.6" and "postfix reload"',
        "compatibility",
    ),
    (
        "master",
        "warning: to avoid this condition, increase the process count in master.cf or reduce the service time",
        "process_limit",
    ),
    (
        "master",
        "warning: see http://www.postfix.org/STRESS_README.html for examples of stress-adapting configuration settings",
        "process_limit",
    ),
    ("trivial-rewrite", "warning: virtual_mailbox_domains lookup failure", "map_error"),
    (
        "proxymap",
        "warning: to approve this table for read-only access, list x in main.cf:proxy_read_maps",
        "config_warning",
    ),
]


@pytest.mark.parametrize(("daemon", "body", "problem"), PARTS, ids=[row[1][:70] for row in PARTS])
def test_the_second_line_of_an_incident_counts_nowhere(daemon: str, body: str, problem: str) -> None:
    told = explained(daemon, body)
    assert (told["kind"], told["problem"], told["part_of"]) == ("service_health", problem, "service_health")


@pytest.mark.parametrize(
    "body",
    [
        "waiting for the Postfix mail system to terminate",
        "the Postfix mail system is running: PID: 216",
        "the Postfix mail system is not running",
    ],
)
def test_what_the_script_only_reports_is_housekeeping(body: str) -> None:
    assert explained("postfix-script", body)["kind"] == "housekeeping"


@pytest.mark.parametrize(
    ("daemon", "body"),
    [
        ("smtpd", "daemon started -- version 3.7.11, configuration /etc/postfix"),
        ("postlog", "starting the Postfix mail system"),
        ("master", "starting the Postfix mail system"),
        ("postfix-script", "the Postfix mail system is running away"),
        ("master", "terminating on signal 15 or so"),
        ("smtpd", "warning: process /usr/lib/postfix/sbin/smtpd pid 301 exit status 1"),
        ("spawn", "warning: command exit status 1"),
        ("smtpd", "warning: not owned by root: /etc/postfix/main.cf"),
        ("sendmail", "warning: uid=1000: unexpected record type: 99"),
    ],
)
def test_a_line_that_is_not_this_programs_is_not_read(daemon: str, body: str) -> None:
    assert explained(daemon, body)["kind"] == "unsupported"


def test_no_path_but_the_stock_one_is_indexed_as_a_first_word() -> None:
    paths = [word for word in rules_by_word("master") if word.startswith(b"/")]
    assert paths == [b"/etc/postfix/master.cf"]


@pytest.mark.parametrize("version", VERSIONS)
def test_in_the_sample_logs_no_line_of_these_programs_is_left(version: str) -> None:
    for name, log in logs(version).items():
        unread = {
            (event.envelope.daemon, event.envelope.record[4])
            for event in read(log)[0]
            if event.kind == "unsupported" and event.envelope.daemon in {"master", "postfix", "postfix-script", "anvil"}
        }
        assert unread == set(), name
