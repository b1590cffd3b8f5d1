"""The configuration: a TOML file, the environment above it, and passwords become the frozen settings of each part.

Enters: a path and the environment. Leaves: `Settings`, or `ConfigError` with every problem, each with file, line,
column, key, and what was expected. This file must never know what a setting does.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from pfwatch.alerting.settings import AlertSettings, MailSettings, Silence, SmtpServer
from pfwatch.config import environment, locate, passwords, reading
from pfwatch.config.model import ARRAY_TABLES, RULES, Document
from pfwatch.config.passwords import Password
from pfwatch.config.problems import ConfigError, Problem
from pfwatch.config.receiving import check_syslog
from pfwatch.config.unknown import dotted, unknown_key
from pfwatch.config.values import kind
from pfwatch.detection.settings import DetectionSettings, RuleSettings
from pfwatch.sources.settings import JournalSettings, Listen, SourceSettings, SyslogSettings
from pfwatch.store.settings import StoreSettings
from pfwatch.web.settings import WebSettings

__all__ = ["ConfigError", "Problem", "Settings", "defaults", "load"]


class Settings(msgspec.Struct, frozen=True):
    """All that an administrator can set, by the part that it belongs to."""

    source: SourceSettings = SourceSettings()
    store: StoreSettings = StoreSettings()
    web: WebSettings = WebSettings()
    detection: DetectionSettings = DetectionSettings()
    alerts: AlertSettings = AlertSettings()
    mail: MailSettings = MailSettings()
    dovecot: bool = False
    """Its failed logins are read, too."""


def defaults() -> Settings:
    """What is in force where nothing is configured."""
    return Settings()


def load(path: Path, environ: Mapping[str, str] = os.environ) -> Settings:
    """The settings of a file, with what the environment puts above it. Raises ConfigError with all problems."""
    text, mode = reading.read(path)
    document = reading.parse(path, text)
    origins, problems = environment.override(document, environ)
    places = _Places(path, text, origins)
    handed_over, complaints = passwords.credentials(environ)
    complaints += passwords.check_servers(_servers(document), handed_over, mode)
    complaints += check_syslog(document)
    complaints += _two_journals(document)
    problems += [places.problem(key, message, at_key=True) for key, message in complaints]
    model = None
    try:
        model = Document.model_validate(document)
    except ValidationError as error:
        problems += [_problem(details, places) for details in error.errors(include_url=False)]
    # Not raised above: the validation error would come along, and it knows the values.
    if problems or model is None:
        raise ConfigError(sorted(problems, key=_order))
    return _settings(model, handed_over)


class _Places:
    """Whose fault it is: a place in the file, or a variable of the environment."""

    def __init__(self, path: Path, text: str, origins: Mapping[locate.Path, str]) -> None:
        self._file = str(path)
        self._positions = locate.Positions(text)
        self._origins = origins

    def problem(self, path: locate.Path, message: str, *, at_key: bool) -> Problem:
        variable = self._variable(path)
        if variable:
            return Problem("environment", 0, 0, variable, message)
        line, column = self._positions.key(path) if at_key else self._positions.value(path)
        return Problem(self._file, line, column, dotted(path), message)

    def _variable(self, path: locate.Path) -> str | None:
        for length in range(len(path), 0, -1):
            if path[:length] in self._origins:
                return self._origins[path[:length]]
        # A table that is not in the file at all was made by the variables that set its keys.
        table = path[:-1]
        if not table or self._positions.has(table):
            return None
        return next((name for origin, name in self._origins.items() if origin[: len(table)] == table), None)


def _order(problem: Problem) -> tuple[bool, int, int, str]:
    return (not problem.line, problem.line, problem.column, problem.key)


def _problem(details: ErrorDetails, places: _Places) -> Problem:
    path, found = details["loc"], details["input"]
    match details["type"]:
        case "extra_forbidden":
            return places.problem(path, unknown_key(path, is_table=_is_table(found)), at_key=True)
        case "missing":
            message = f"'{path[-1]}' is missing from [{dotted(path[:-1])}]; it has no default"
            return places.problem(path, message, at_key=True)
        case "tuple_type" if path in ARRAY_TABLES:
            return places.problem(path, f"write [[{dotted(path)}]], with two brackets, once for each", at_key=True)
        case "tuple_type":
            message = f'expected a list in brackets, such as ["..."], found {kind(found)}'
        case "model_type" | "model_attributes_type":
            message = f"expected a table [{dotted(path)}] with keys of its own, found {kind(found)}"
        case _:
            message = str(details.get("ctx", {}).get("error", details["msg"]))
    return places.problem(path, message, at_key=False)


def _is_table(value: object) -> bool:
    return isinstance(value, dict) or (isinstance(value, list) and bool(value) and isinstance(value[0], dict))


def _two_journals(document: Mapping[str, Any]) -> list[tuple[tuple[str, ...], str]]:
    journal = document.get("journal")
    if isinstance(journal, dict) and journal.get("directory") and journal.get("namespace"):
        message = "a namespace is one of this machine's journals; it cannot be set together with 'directory'"
        return [(("journal", "namespace"), message)]
    return []


def _servers(document: Mapping[str, Any]) -> dict[tuple[str, ...], Mapping[str, object]]:
    """The tables of the mail servers as they are written, as far as they are tables."""
    mail = document.get("mail")
    if not isinstance(mail, dict):
        return {}
    fallback = mail.get("fallback")
    return {("mail",): mail, ("mail", "fallback"): fallback if isinstance(fallback, dict) else {}}


def _settings(model: Any, handed_over: Mapping[tuple[str, ...], Password]) -> Settings:
    host, port = model.web.listen
    shared = dict(model.detection)
    rules = {name: RuleSettings(**dict(shared.pop(name.replace("-", "_")))) for name in RULES}
    alerts = dict(model.alerts)
    silences = tuple(Silence(**dict(silence)) for silence in alerts.pop("silence"))
    return Settings(
        source=SourceSettings(
            **dict(model.log),
            syslog=_syslog(model.syslog),
            journal=JournalSettings(**dict(model.journal), dovecot=model.dovecot.enabled),
        ),
        store=StoreSettings(**dict(model.state)),
        web=WebSettings(enabled=model.web.enabled, host=host, port=port),
        detection=DetectionSettings(**shared, rules=rules),
        alerts=AlertSettings(**alerts, silences=silences),
        mail=_mail(model.mail, handed_over),
        dovecot=model.dovecot.enabled,
    )


def _syslog(section: Any) -> SyslogSettings:
    return SyslogSettings(**dict(section) | {"listen": tuple(Listen(*where) for where in section.listen)})


def _mail(section: Any, handed_over: Mapping[tuple[str, ...], Password]) -> MailSettings:
    fallback = section.fallback
    return MailSettings(
        recipients=section.recipients,
        sender=section.sender,
        server=_server(section, handed_over.get(("mail",))),
        fallback=_server(fallback, handed_over.get(("mail", "fallback"))) if fallback else None,
    )


def _server(section: Any, handed_over: Password | None) -> SmtpServer:
    """What is written down stands above what systemd hands over."""
    return SmtpServer(
        host=section.host,
        port=section.port,
        tls=section.tls,
        username=section.username,
        password=section.password or section.password_file or handed_over,
        timeout=section.timeout,
    )
