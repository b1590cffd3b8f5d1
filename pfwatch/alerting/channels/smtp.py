"""The mail channel: hands one composed mail to a mail server, or to the next one, and says exactly what went wrong.

Enters: a `Notification`. Leaves: a mail by SMTP, or a `ChannelError` in plain words with the whole conversation.
This file must never know what a mail says or what the outbox does; it keeps no clock and tries no server twice.
"""

import socket
from datetime import UTC, tzinfo
from email.errors import MessageError

from pfwatch.alerting.channels.conversation import Conversation, Refusal, SmtpError
from pfwatch.alerting.message import Templates, compose
from pfwatch.alerting.notification import Notification
from pfwatch.alerting.settings import MailSettings

_REMEMBERED = 100
"""Half-delivered notifications whose reached recipients are kept in memory."""


class ChannelError(Exception):
    """A notification that could not be delivered, or not to everybody."""

    def __init__(self, message: str, *, temporary: bool, transcript: str = "", unreachable: bool = False) -> None:
        super().__init__(message)
        self.message = message
        self.temporary = temporary
        """Trying again later can help. After a refused login too: the settings will be mended, and the mail waits."""
        self.transcript = transcript
        self.unreachable = unreachable
        """No server came as far as the mail itself: the next mail would fare no better now."""


class SmtpChannel:
    """Mails to the configured recipients."""

    name = "mail"

    def __init__(
        self,
        settings: MailSettings,
        templates: Templates,
        *,
        time_zone: tzinfo = UTC,
        host_name: str | None = None,
    ) -> None:
        self._settings = settings
        self._templates = templates
        self._time_zone = time_zone
        self._host_name = host_name or socket.getfqdn()
        self._sender = settings.sender or f"pfwatch@{self._host_name}"
        self._reached: dict[str, list[str]] = {}
        self.transcript = ""
        """The conversation about the latest mail; no password is in it."""

    async def send(self, notification: Notification) -> None:
        """Raises `ChannelError`. Recipients who have the mail already do not get it again when it is sent again."""
        reached = self._reached.pop(notification.id, [])
        waiting = [recipient for recipient in self._settings.recipients if recipient not in reached]
        mail = self._bytes(notification)
        refusals: dict[str, list[Refusal]] = {recipient: [] for recipient in waiting}
        problems: list[SmtpError] = []
        transcripts: list[str] = []
        for server in (self._settings.server, self._settings.fallback):
            if server is None or not waiting:
                continue
            conversation = Conversation(server, self._host_name)
            try:
                refused = await conversation.deliver(mail, self._sender, waiting)
            except SmtpError as problem:
                problems.append(problem)
            else:
                for refusal in refused:
                    refusals[refusal.recipient].append(refusal)
                waiting = [refusal.recipient for refusal in refused]
            transcripts.append("\n".join(conversation.transcript))
        self.transcript = "\n\n".join(transcripts)
        if waiting:
            self._remember(notification.id, [name for name in self._settings.recipients if name not in waiting])
            raise self._failure(waiting, refusals, problems)

    def _bytes(self, notification: Notification) -> bytes:
        recipients = self._settings.recipients
        try:
            message = compose(
                notification, self._templates, sender=self._sender, recipients=recipients, time_zone=self._time_zone
            )
            return message.as_bytes()
        except (ValueError, IndexError, MessageError) as error:
            words = f"no mail can be made with the addresses {self._sender!r} and {', '.join(recipients)}: {error}"
            raise ChannelError(f"{words}. Check [mail] from and to", temporary=False) from error

    def _remember(self, identity: str, reached: list[str]) -> None:
        if reached:
            self._reached[identity] = reached
        while len(self._reached) > _REMEMBERED:
            del self._reached[next(iter(self._reached))]

    def _failure(
        self, waiting: list[str], refusals: dict[str, list[Refusal]], problems: list[SmtpError]
    ) -> ChannelError:
        refused = [refusal for recipient in waiting for refusal in refusals[recipient]]
        words = [problem.message for problem in problems] + [refusal.message for refusal in refused]
        if len(waiting) < len(self._settings.recipients):
            words.append("The other recipients have the mail")
        return ChannelError(
            "; ".join(words),
            temporary=any(problem.temporary for problem in problems) or any(one.temporary for one in refused),
            transcript=self.transcript,
            unreachable=not refused and all(problem.unreachable for problem in problems),
        )
