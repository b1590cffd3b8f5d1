"""The programs that pfwatch is measured beside.

What enters: nothing. What leaves: for each peer how it is run on a log, what of its output can be compared with the
truth, and what it does with a log, in words. What this file must never know: how a program is measured.

A peer reads the same log as pfwatch, as a whole and in the way that is quickest for it. Its own settings are those of
its package, except where `how` says otherwise.
"""

import shutil
import subprocess
from dataclasses import dataclass

from tests.bench.counted import (
    Counts,
    by_exporter,
    by_fail2ban,
    by_guide,
    by_logwatch,
    by_mtail,
    by_pflogsumm,
    by_sshguard,
    by_wc,
)
from tests.bench.following import measure_following
from tests.bench.generate import START
from tests.bench.measure import HERE, Tool

_DAYS = {"bsd": START.strftime("%b %e"), "iso": START.strftime("%Y-%m-%d")}

_MTAIL = ("mtail", "--logtostderr", "--one_shot")  # it would leave files in /tmp


@dataclass(frozen=True)
class Peer:
    """One of them. `key` is its name on the command line."""

    key: str
    package: str
    """Of Debian."""
    tool: Tool
    counts: Counts
    how: str
    """What it does, and how it is run."""
    slow: bool = False
    """Is measured on a shorter log, and compared by the line."""

    @property
    def installed(self) -> bool:
        return shutil.which(self.tool.command[0]) is not None

    def version(self) -> str:
        """That of its package; empty where there is no dpkg or no such package."""
        if shutil.which("dpkg-query") is None:
            return ""
        command = ["dpkg-query", "--show", "--showformat", "${Version}", self.package]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout


def all_peers(form: str = "bsd") -> list[Peer]:
    """The peers for logs with time stamps of this form, the quickest first."""
    return [
        Peer("wc", "coreutils", Tool("wc -l", ("wc", "-l", "{file}")), by_wc, "counts line feeds"),
        Peer(
            "guide",
            "grep",
            Tool("guide's script", ("sh", str(HERE / "guide.sh"), "{file}", _DAYS[form])),
            by_guide,
            "counts the lines with four words, and sorts one column of those with `reject:`; five passes through the "
            "log, as a guide to hardening mail servers tells to run every hour (`tests/bench/guide.sh`)",
        ),
        Peer(
            "sshguard",
            "sshguard",
            Tool("sshguard's parser", ("/usr/libexec/sshguard/sshg-parser",), standard_input=True),
            by_sshguard,
            "knows a few lines of Postfix among those of other services, and writes an address for each attack; only "
            "`sshg-parser`, without what counts and blocks",
        ),
        Peer(
            "mtail",
            "mtail",
            Tool("mtail", (*_MTAIL, "--progs", str(HERE / "postfix.mtail"), "--logs", "{file}")),
            by_mtail,
            "counts five things with the patterns of our small program for it (`tests/bench/postfix.mtail`); "
            "`--one_shot`",
        ),
        Peer(
            "pflogsumm",
            "pflogsumm",
            Tool("pflogsumm", ("pflogsumm", "{file}")),
            by_pflogsumm,
            "sums up deliveries and refusals for a daily mail",
        ),
        Peer(
            "exporter",
            "prometheus-postfix-exporter",
            Tool(
                "postfix_exporter",
                (
                    "prometheus-postfix-exporter",
                    "--web.listen-address=127.0.0.1:{port}",
                    "--postfix.logfile_path={file}",
                ),
                measured_by=measure_following,
            ),
            by_exporter,
            "counts for Prometheus. It cannot read a finished log: it follows an empty one, to which the whole log is "
            "appended, until it has read it and answered one scrape; its elapsed time has waiting in it. It does "
            "not know services with a name of their own, such as `postfix/submission/smtpd`",
        ),
        Peer(
            "logwatch",
            "logwatch",
            Tool(
                "logwatch's script", ("perl", "/usr/share/logwatch/scripts/services/postfix"), standard_input=True
            ),
            by_logwatch,
            "sums up everything for a daily mail; its script for Postfix alone, which is quicker than `logwatch`, "
            "because that copies and filters the log first",
            slow=True,
        ),
        Peer(
            "fail2ban",
            "fail2ban",
            Tool("fail2ban-regex", ("fail2ban-regex", "{file}", "postfix[mode=extra]")),
            by_fail2ban,
            "finds failed logins and refusals with the filter that it ships (`postfix[mode=extra]`); no counting in "
            "windows, no blocking",
            slow=True,
        ),
    ]  # fmt: skip
