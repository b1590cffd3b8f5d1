"""Every option of the configuration file: its table, its name, what it may be. The defaults are those of the settings.

Enters: the settings' shipped values. Leaves: `Document`, the model of the whole file, and `TABLES`, its keys.
This file must never know where a value stands or comes from; the keys are public names, kept for good.
"""

import typing
from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, PlainValidator, create_model

from pfwatch.alerting.settings import AlertSettings, MailSettings, Silence, SmtpServer
from pfwatch.config import values
from pfwatch.config.passwords import Password, password_from_file, written_password
from pfwatch.detection.incident import SEVERITIES
from pfwatch.detection.settings import DetectionSettings, RuleSettings
from pfwatch.sources.settings import SourceSettings
from pfwatch.store.settings import StoreSettings
from pfwatch.web.settings import WebSettings

_SOURCE, _STORE, _WEB, _DETECTION = SourceSettings(), StoreSettings(), WebSettings(), DetectionSettings()
_SYSLOG = _SOURCE.syslog
_JOURNAL = _SOURCE.journal
_ALERTS, _MAIL, _SERVER, _SILENCE = AlertSettings(), MailSettings(), SmtpServer(), Silence()

MINUTE, HOUR, DAY = 60, 3600, 86_400
RULES = tuple(_DETECTION.rules)
TLS_MODES: tuple[str, ...] = typing.get_args(typing.get_type_hints(SmtpServer)["tls"])

Boolean = Annotated[bool, PlainValidator(values.truth)]
Networks = tuple[Annotated[str, PlainValidator(values.network)], ...]


class Section(BaseModel):
    """One table of the file."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class LogSection(Section):
    """[log]: which logs, and how they are read."""

    paths: tuple[Annotated[str, PlainValidator(values.absolute_path)], ...] = _SOURCE.paths
    time_zone: Annotated[str | None, PlainValidator(values.time_zone)] = _SOURCE.time_zone
    first_read: Annotated[int, PlainValidator(values.whole_seconds(0, 365 * DAY))] = _SOURCE.first_read
    poll_interval: Annotated[float, PlainValidator(values.seconds(0.01, MINUTE))] = _SOURCE.poll_interval


class SyslogSection(Section):
    """[syslog]: where log lines are received from other machines, and from which."""

    listen: tuple[Annotated[tuple[str, str, int], PlainValidator(values.syslog_address)], ...] = ()
    allow_from: Networks = _SYSLOG.allow_from
    certificate: Annotated[str, PlainValidator(values.absolute_path_or_empty)] = _SYSLOG.certificate
    key: Annotated[str, PlainValidator(values.absolute_path_or_empty)] = _SYSLOG.key
    client_ca: Annotated[str, PlainValidator(values.absolute_path_or_empty)] = _SYSLOG.client_ca
    client_names: tuple[Annotated[str, PlainValidator(values.text)], ...] = _SYSLOG.client_names
    max_connections: Annotated[int, PlainValidator(values.whole_number(1, 512))] = _SYSLOG.max_connections
    idle_timeout: Annotated[float, PlainValidator(values.seconds(1, 30 * DAY))] = _SYSLOG.idle_timeout


class JournalSection(Section):
    """[journal]: the systemd journal."""

    enabled: Boolean = _JOURNAL.enabled
    directory: Annotated[str | None, PlainValidator(values.path_or_none)] = _JOURNAL.directory
    namespace: Annotated[str | None, PlainValidator(values.namespace)] = _JOURNAL.namespace
    verify: Boolean = _JOURNAL.verify


class DovecotSection(Section):
    """[dovecot]: whether its lines are read."""

    enabled: Boolean = False


class StateSection(Section):
    """[state]: the database."""

    path: Annotated[str, PlainValidator(values.absolute_path)] = _STORE.path
    commit_interval: Annotated[float, PlainValidator(values.seconds(0.01, MINUTE))] = _STORE.commit_interval


class WebSection(Section):
    """[web]: /metrics and health."""

    enabled: Boolean = _WEB.enabled
    listen: Annotated[tuple[str, int], PlainValidator(values.listen_address)] = (_WEB.host, _WEB.port)


RULE_KEYS: dict[str, Any] = {
    "threshold": Annotated[int, PlainValidator(values.whole_number(1, 1_000_000))],
    "window": Annotated[int, PlainValidator(values.whole_seconds(1, 7 * DAY))],
    "severity": Annotated[str, PlainValidator(values.one_of(SEVERITIES))],
    "cooldown": Annotated[int, PlainValidator(values.whole_seconds(0, 30 * DAY))],
    "enabled": Boolean,
    "simulate": Boolean,
    "allow": Networks,
}


def _rule_section(shipped: RuleSettings) -> type[Section]:
    keys: dict[str, Any] = {key: (form, getattr(shipped, key)) for key, form in RULE_KEYS.items()}
    return create_model("RuleSection", __base__=Section, **keys)


def _detection_section() -> type[Section]:
    keys: dict[str, Any] = {
        "allow": (Networks, _DETECTION.allow),
        "max_subjects": (Annotated[int, PlainValidator(values.whole_number(1, 1_000_000))], _DETECTION.max_subjects),
    }
    for name, shipped in _DETECTION.rules.items():
        section = _rule_section(shipped)
        keys[name.replace("-", "_")] = (section, Field(default=section(), alias=name))
    return create_model("DetectionSection", __base__=Section, **keys)


class SilenceSection(Section):
    """[[alerts.silence]]: who is not told about what, and until when."""

    rule: Annotated[str, PlainValidator(values.one_of(("", *RULES)))] = _SILENCE.rule
    subject: Annotated[str, PlainValidator(values.network_or_empty)] = _SILENCE.subject
    until: Annotated[float | None, PlainValidator(values.moment)] = _SILENCE.until
    comment: Annotated[str, PlainValidator(values.text_or_empty)] = _SILENCE.comment


class AlertsSection(Section):
    """[alerts]: when to speak."""

    max_alert_age: Annotated[int, PlainValidator(values.whole_seconds(1, 30 * DAY))] = _ALERTS.max_alert_age
    group_wait: Annotated[int, PlainValidator(values.whole_seconds(0, HOUR))] = _ALERTS.group_wait
    grew_factor: Annotated[int, PlainValidator(values.whole_number(2, 1_000_000))] = _ALERTS.grew_factor
    repeat_interval: Annotated[int, PlainValidator(values.whole_seconds(1, 365 * DAY))] = _ALERTS.repeat_interval
    digest_interval: Annotated[int, PlainValidator(values.whole_seconds(1, 30 * DAY))] = _ALERTS.digest_interval
    daily_budget: Annotated[int, PlainValidator(values.whole_number(1, 100_000))] = _ALERTS.daily_budget
    send_resolved: Boolean = _ALERTS.send_resolved
    silence: tuple[SilenceSection, ...] = ()


Host = Annotated[str, PlainValidator(values.host_name)]


class ServerSection(Section):
    """A mail server to hand alert mails to."""

    host: Host = _SERVER.host
    port: Annotated[int, PlainValidator(values.whole_number(1, 65_535))] = _SERVER.port
    tls: Annotated[str, PlainValidator(values.one_of(TLS_MODES))] = _SERVER.tls
    username: Annotated[str | None, PlainValidator(values.text)] = _SERVER.username
    password: Annotated[Password | None, PlainValidator(written_password)] = None
    password_file: Annotated[Password | None, PlainValidator(password_from_file)] = None
    timeout: Annotated[float, PlainValidator(values.seconds(1, 10 * MINUTE))] = _SERVER.timeout


class FallbackSection(ServerSection):
    """[mail.fallback]: `host` is required; the first server's host by default would be no fallback."""

    host: Host


class MailSection(ServerSection):
    """[mail]: who gets alert mails, and through which server."""

    recipients: tuple[Annotated[str, PlainValidator(values.mail_address)], ...] = Field(
        default=_MAIL.recipients, alias="to"
    )
    sender: Annotated[str, PlainValidator(values.mail_address_or_empty)] = Field(default=_MAIL.sender, alias="from")
    fallback: FallbackSection | None = None


def _document() -> type[Section]:
    sections: dict[str, type[Section]] = {
        "log": LogSection,
        "syslog": SyslogSection,
        "journal": JournalSection,
        "dovecot": DovecotSection,
        "state": StateSection,
        "web": WebSection,
        "detection": _detection_section(),
        "alerts": AlertsSection,
        "mail": MailSection,
    }
    keys: dict[str, Any] = {name: (section, section()) for name, section in sections.items()}
    return create_model("Document", __base__=Section, **keys)


# Any: the rules are data, so a type checker cannot know the attributes of [detection].
Document: Any = _document()


def _tables(section: type[Section], path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], dict[str, bool]]]:
    keys: dict[str, bool] = {}
    inner: list[tuple[str, type[Section]]] = []
    for name, field in section.model_fields.items():
        key = field.alias or name
        forms = [field.annotation, *typing.get_args(field.annotation)]
        sections = [form for form in forms if isinstance(form, type) and issubclass(form, Section)]
        keys[key] = bool(sections)
        inner += [(key, form) for form in sections]
    yield path, keys
    for key, form in inner:
        yield from _tables(form, (*path, key))


TABLES: dict[tuple[str, ...], dict[str, bool]] = dict(_tables(Document, ()))
"""The keys of every table by its path, and whether the key is a table itself; `("alerts", "silence")` is an array."""

ARRAY_TABLES = {("alerts", "silence")}
