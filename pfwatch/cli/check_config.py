"""`pfwatch check-config`: says what is wrong with a configuration file, or what it puts in force.

Enters: the path of a file. Leaves: text, and exit code 0 or 2. This file must never know how a configuration is read.
"""

import ipaddress
import sys
import typing
from pathlib import Path

import click

from pfwatch.alerting.settings import SmtpServer

if typing.TYPE_CHECKING:
    from pfwatch.config import Settings

DEFAULT_FILE = "/etc/pfwatch/pfwatch.toml"

_TLS = {
    "none": "without TLS",
    "opportunistic": "STARTTLS if offered, certificate not checked",
    "starttls": "STARTTLS required, certificate checked",
    "implicit": "TLS from the first byte, certificate checked",
}


@click.command("check-config")
@click.argument("file", default=DEFAULT_FILE, type=click.Path(path_type=Path), metavar="[FILE]")
def check_config(file: Path) -> None:
    """Check the configuration in FILE (/etc/pfwatch/pfwatch.toml) and show what it puts in force.

    Every problem is one line, FILE:LINE:COLUMN: KEY: what is wrong. Exit code 0 when it is fine, 2 when it is not.
    """
    from pfwatch.config import ConfigError, load

    try:
        settings = load(file)
    except ConfigError as error:
        for problem in error.problems:
            click.echo(str(problem), err=True)
        sys.exit(2)
    click.echo(f"{click.format_filename(file)}: fine")
    for name, value in _in_force(settings):
        click.echo(f"  {name + ':':<9} {value}")


def _in_force(settings: "Settings") -> list[tuple[str, str]]:
    from pfwatch.config.values import duration_text

    mail = settings.mail
    lines = [
        ("logs", _logs(settings)),
        ("state", f"{settings.store.path}, on disk after {duration_text(settings.store.commit_interval)} at most"),
        ("web", _web(settings)),
        ("rules", _rules(settings)),
        ("mail", _mail(settings)),
    ]
    if settings.source.syslog.listen:
        lines.insert(1, ("syslog", _syslog(settings)))
    if settings.dovecot:
        lines.insert(1, ("dovecot", "its failed logins count, too"))
    if mail.recipients and mail.fallback:
        lines.append(("fallback", _server(mail.fallback)))
    return lines + [("note", note) for note in _notes(settings)]


def _logs(settings: "Settings") -> str:
    journal = settings.source.journal
    named = [*settings.source.paths, *(["the " + journal.name.replace(":", " ", 1)] if journal.enabled else [])]
    found = "none but what is received by syslog" if settings.source.syslog.listen else "found by pfwatch itself"
    paths = ", ".join(named) or found
    zone = settings.source.time_zone or "this machine's time zone"
    return f"{paths}; times without a zone are in {zone}"


def _syslog(settings: "Settings") -> str:
    syslog = settings.source.syslog
    names = f" with a certificate for {', '.join(syslog.client_names)}" if syslog.client_names else ""
    certificate = names or (f" with a certificate from {syslog.client_ca}" if syslog.client_ca else "")
    return f"{', '.join(map(str, syslog.listen))}; from {', '.join(syslog.allow_from) or 'nobody'}{certificate}"


def _web(settings: "Settings") -> str:
    if not settings.web.enabled:
        return "off"
    host = f"[{settings.web.host}]" if ":" in settings.web.host else settings.web.host
    return f"http://{host}:{settings.web.port or '(any free port)'}/metrics"


def _rules(settings: "Settings") -> str:
    rules = settings.detection.rules
    enabled = [f"{name} (simulated)" if rule.simulate else name for name, rule in rules.items() if rule.enabled]
    off = [name for name, rule in rules.items() if not rule.enabled]
    return (", ".join(enabled) or "none") + (f"; off: {', '.join(off)}" if off else "")


def _mail(settings: "Settings") -> str:
    mail = settings.mail
    if not mail.recipients:
        return "off"
    sender = mail.sender or "pfwatch@ and this host's name"
    return f"to {', '.join(mail.recipients)}; from {sender}; through {_server(mail.server)}"


def _server(server: SmtpServer) -> str:
    host = f"[{server.host}]" if ":" in server.host else server.host
    login = f", login as {server.username}" if server.username else ""
    return f"{host}:{server.port}, {_TLS[server.tls]}{login}"


def _notes(settings: "Settings") -> list[str]:
    """What is allowed, and yet may not be what somebody wants."""
    notes = []
    if not settings.mail.recipients:
        notes.append("no [mail] to: incidents are shown on /metrics and in the log only")
    if settings.web.enabled and not ipaddress.ip_address(settings.web.host).is_loopback:
        notes.append("/metrics has no login and listens beyond loopback: let only your monitoring reach it")
    notes += _syslog_notes(settings)
    if any(not silence.rule and not silence.subject for silence in settings.alerts.silences):
        notes.append("a silence without rule and subject matches everything: nobody is told about any incident")
    journal = settings.source.journal
    if (journal.directory or journal.namespace) and not journal.enabled:
        notes.append(f"{journal.name} is named, and not read: [journal] enabled is false")
    if settings.source.paths and journal.enabled and not journal.directory:
        notes.append("log files and the journal of this machine: what is written to both counts twice")
    for server in (settings.mail.server, settings.mail.fallback):
        if server:
            notes += _server_notes(server)
    return notes


def _syslog_notes(settings: "Settings") -> list[str]:
    syslog, notes = settings.source.syslog, []
    if syslog.listen and not syslog.allow_from:
        notes.append("[syslog] allow_from is empty: whatever is sent is refused")
    far = {one.transport for one in syslog.listen if not ipaddress.ip_address(one.host).is_loopback}
    if "udp" in far:
        notes.append("over udp lines can be lost and their senders be forged: use tls, or tcp in a network of your own")
    if "tls" in far and not syslog.client_ca:
        notes.append(
            "without [syslog] client_ca whoever allow_from lets in can send lines over tls, and make up what is in them"
        )
    return notes


def _server_notes(server: SmtpServer) -> list[str]:
    notes = []
    if server.username and server.tls in {"none", "opportunistic"} and not _is_here(server.host):
        notes.append(f"the password may reach somebody else than {server.host}: set tls to starttls or implicit")
    if server.port == 465 and server.tls != "implicit":
        notes.append(f'port 465 of {server.host} expects TLS from the first byte: set tls = "implicit"')
    return notes


def _is_here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
