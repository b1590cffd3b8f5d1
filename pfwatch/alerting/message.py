"""The alert mail: headers, text part and HTML part.

Enters: a `Notification`, the text of the templates, addresses and the reader's time zone. Leaves: an `EmailMessage`, to
the last byte the same for the same input.
This file must never know how the mail is sent, where templates are kept, or what time it is.
"""

import re
import textwrap
from collections.abc import Mapping, Sequence
from datetime import datetime, tzinfo
from email.headerregistry import Address, HeaderRegistry, MessageIDHeader
from email.message import EmailMessage
from email.policy import SMTP
from hashlib import blake2b

import jinja2
from jinja2.sandbox import ImmutableSandboxedEnvironment

from pfwatch.alerting.moments import number
from pfwatch.alerting.notification import Notification
from pfwatch.alerting.view import view
from pfwatch.alerting.visible import visible

TEMPLATE_NAMES = tuple(f"{kind}.{form}.j2" for kind in ("incident", "digest", "overflow") for form in ("txt", "html"))
"""The templates that become a part of a mail. Those whose names begin with `_` are pieces that these share."""

_SUBJECT_LENGTH = 200
_TEXT_WIDTH = 76
_DOMAIN = re.compile(r"(?=.{1,190}\Z)(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z0-9-]{2,63}")

_headers = HeaderRegistry()
# The standard library would write a long id in these two as an encoded word, and no mail client would find the thread.
_headers.map_to_type("In-Reply-To", MessageIDHeader)  # type: ignore[arg-type]  # typeshed: headers are mixins
_headers.map_to_type("References", MessageIDHeader)  # type: ignore[arg-type]  # typeshed: headers are mixins
_POLICY = SMTP.clone(header_factory=_headers)
_UNFOLDED = _POLICY.clone(max_line_length=998)
"""Folding at 78 columns would begin many a subject on its second line, which some clients show as a leading blank."""


class Templates:
    """Compiled templates. An administrator's own ones come first; where one of them fails, the shipped one speaks."""

    def __init__(self, shipped: Mapping[str, str], own: Mapping[str, str] | None = None) -> None:
        """Raises `jinja2.TemplateSyntaxError` when a text is no template."""
        self._shipped = _environment(shipped)
        self._own = _environment({**shipped, **own}) if own else None
        for environment in filter(None, (self._shipped, self._own)):
            for name in environment.list_templates():
                environment.get_template(name)

    def render(self, name: str, context: dict[str, object]) -> str:
        """The text. When it had to be the shipped template, it says why at its end."""
        note = ""
        if self._own is not None:
            try:
                return self._own.get_template(name).render(context, note=note)
            except Exception as error:  # Whatever an own template does wrong: the alert has to get out, and say it.
                note = f"Your own templates could not be used for {name}: {type(error).__name__}: {visible(str(error))}"
        return self._shipped.get_template(name).render(context, note=note)


def compose(
    notification: Notification,
    templates: Templates,
    *,
    sender: str,
    recipients: Sequence[str],
    time_zone: tzinfo,
) -> EmailMessage:
    """The mail about `notification`. `sender` and `recipients` are bare addresses (`postmaster@example.org`)."""
    kind = notification.reason if notification.reason in ("digest", "overflow") else "incident"
    context: dict[str, object] = {"view": view(notification, time_zone)}
    message = EmailMessage(policy=_POLICY)
    _add_headers(message, notification, sender, recipients, time_zone)
    message.set_content(_without_controls(templates.render(f"{kind}.txt.j2", context)), cte="quoted-printable")
    html = _without_controls(templates.render(f"{kind}.html.j2", context))
    message.add_alternative(html, subtype="html", cte="quoted-printable")
    message.set_boundary(f"=_{blake2b(notification.id.encode(), digest_size=16).hexdigest()}")
    if message["Subject"].isascii():  # Another one is folded between its encoded words, of 75 characters at most.
        message.policy = _UNFOLDED
    return message


def _add_headers(
    message: EmailMessage, notification: Notification, sender: str, recipients: Sequence[str], zone: tzinfo
) -> None:
    domain = _domain(notification.host, sender)
    message["From"] = Address("pfwatch", addr_spec=sender)
    message["To"] = [Address(addr_spec=recipient) for recipient in recipients]
    message["Subject"] = visible(" ".join(notification.subject_line.split()), _SUBJECT_LENGTH)
    message["Date"] = datetime.fromtimestamp(int(notification.at), zone)
    message["Message-ID"] = message_id(notification.id, domain)
    if notification.thread != notification.id:
        message["In-Reply-To"] = message_id(notification.thread, domain)
        message["References"] = message_id(notification.thread, domain)
    # RFC 3834 keeps autoresponders quiet, the X- header does it for Exchange. No `Precedence: bulk`: it is in no
    # standard, and some filters take it for advertising.
    message["Auto-Submitted"] = "auto-generated"
    message["X-Auto-Response-Suppress"] = "All"
    message["X-Pfwatch-Reason"] = notification.reason
    message["X-Pfwatch-Host"] = visible(notification.host)
    for rule in sorted({incident.rule for incident in notification.incidents}):
        message["X-Pfwatch-Rule"] = visible(rule, 60)


def message_id(identity: str, domain: str) -> str:
    """`<pfwatch.<identity>@<domain>>`; characters that a Message-ID cannot hold become `-`."""
    return f"<pfwatch.{re.sub(r'[^A-Za-z0-9_-]+', '-', identity)[:200]}@{domain}>"


def _domain(host: str, sender: str) -> str:
    """The host stays the same for a whole thread, even when the sender is configured anew in the middle of it."""
    candidates = (host, sender.rpartition("@")[2])
    return next((name for name in candidates if _DOMAIN.fullmatch(name)), "pfwatch.invalid")


def _environment(texts: Mapping[str, str]) -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(
        loader=jinja2.DictLoader(texts),
        autoescape=lambda name: name is None or ".txt." not in name,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=False,
    )
    environment.filters["fill"] = _fill
    environment.filters["number"] = number
    return environment


def _fill(text: str, indent: int = 0) -> str:
    """`text` wrapped for a terminal, every line but the first indented."""
    margin = " " * indent
    filled = textwrap.fill(
        text, width=_TEXT_WIDTH, initial_indent=margin, subsequent_indent=margin, break_on_hyphens=False
    )
    return filled.removeprefix(margin)


def _without_controls(text: str) -> str:
    """The last word on control characters, for templates that show what they were not given."""
    return "".join(character for character in text if character == "\n" or character.isprintable())
