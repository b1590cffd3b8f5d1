"""The sending worker: with a real mail server behind a real channel, and a wall clock that the test sets."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import msgspec
import pytest

from pfwatch.alerting.channels.outbox import Outbox, next_try
from pfwatch.alerting.channels.smtp import SmtpChannel
from pfwatch.alerting.channels.templates import load_templates
from pfwatch.alerting.notification import Notification
from pfwatch.alerting.settings import MailSettings, SmtpServer
from tests.alerting import stories
from tests.alerting.mailserver import Postmaster, mail_server

HOUR = 3600.0
MINUTE = 60.0
TEMPLATES = load_templates()


class Waiting(msgspec.Struct):
    notification: Notification
    attempts: int
    next_try: float


class Memory:
    """An outbox in memory."""

    def __init__(self, *notifications: Notification) -> None:
        self.rows = {told.id: Waiting(told, 0, told.at) for told in notifications}
        self.delivered: list[tuple[str, str, float]] = []
        self.lost: list[tuple[str, str]] = []
        self.errors: list[str] = []

    def pending(self) -> list[Waiting]:
        return [msgspec.structs.replace(row) for row in self.rows.values()]

    def sent(self, id: str, channel: str, at: float) -> None:  # noqa: A002
        del self.rows[id]
        self.delivered.append((id, channel, at))

    def failed(self, id: str, channel: str, error: str, next_try: float | None) -> None:  # noqa: A002, ARG002
        self.errors.append(error)
        if next_try is None:
            del self.rows[id]
            self.lost.append((id, error))
        else:
            self.rows[id] = Waiting(self.rows[id].notification, self.rows[id].attempts + 1, next_try)


class House:
    """An outbox, its worker, a mail server that can be down, and the time."""

    def __init__(self, *notifications: Notification) -> None:
        self.time = stories.NINE + 700
        self.memory = Memory(*notifications)
        self.postmaster = Postmaster()
        self.results: list[tuple[str, str]] = []
        self.said: list[str] = []
        self.server = SmtpServer(host="localhost", port=1, tls="none", timeout=5.0)
        self.outbox = self.worker_for(self.server)

    def worker_for(self, server: SmtpServer) -> Outbox:
        settings = MailSettings(recipients=("alice@example.org",), server=server)
        return Outbox(
            self.memory,
            [SmtpChannel(settings, TEMPLATES, host_name="watcher.example.org")],
            asyncio.to_thread,
            now=lambda: self.time,
            on_result=lambda channel, result: self.results.append((channel, result)),
            say=self.said.append,
        )

    @contextlib.asynccontextmanager
    async def mail_server_up(self) -> AsyncIterator[None]:
        async with mail_server(self.postmaster, port=self.server.port):
            yield

    @property
    def subjects(self) -> list[str]:
        return [mail["Subject"] for mail in self.postmaster.mails]


@pytest.fixture
async def port() -> int:
    """A port on which nobody listens, and on which a mail server may start later."""
    async with mail_server(Postmaster()) as server:
        return server.port


def house(port: int, *notifications: Notification) -> House:
    built = House(*notifications)
    built.server = msgspec.structs.replace(built.server, port=port)
    built.outbox = built.worker_for(built.server)
    return built


def numbered(count: int, **changes: Any) -> list[Notification]:
    return [
        stories.notification(
            stories.bruteforce(id=f"incident-{index}", subject=f"192.0.2.{index}"),
            id=f"told-{index:02}",
            thread=f"told-{index:02}",
            subject_line=f"[mx1] alert {index}",
            **changes,
        )
        for index in range(count)
    ]


def test_it_waits_longer_after_each_failure_and_then_an_hour_each_time() -> None:
    waits = [(next_try(attempts, 1000.0) - 1000) / MINUTE for attempts in range(9)]
    assert waits == [0, 1, 2, 5, 15, 30, 60, 60, 60]


async def test_what_waits_is_sent_in_order_and_once(port: int) -> None:
    here = house(port, *numbered(3))
    async with here.mail_server_up():
        assert await here.outbox.deliver_due() is None
        await here.outbox.deliver_due()
    assert here.subjects == ["[mx1] alert 0", "[mx1] alert 1", "[mx1] alert 2"]
    assert [(id_, channel) for id_, channel, _ in here.memory.delivered] == [
        (f"told-0{index}", "mail") for index in range(3)
    ]
    assert here.results == [("mail", "sent")] * 3
    assert here.said == []


async def test_while_the_server_is_down_mails_wait_and_arrive_when_it_is_back(port: int) -> None:
    here = house(port, *numbered(2))
    assert await here.outbox.deliver_due() == here.time + MINUTE
    assert here.results == [("mail", "retried")]
    assert "not delivered, it is tried again: localhost" in here.said[0]
    async with here.mail_server_up():
        assert await here.outbox.deliver_due() == here.time + MINUTE
        assert here.subjects == []
        here.time += MINUTE
        assert await here.outbox.deliver_due() is None
    assert here.subjects == ["[mx1] alert 0", "[mx1] alert 1"]


async def test_the_first_mail_that_gets_through_takes_the_waiting_ones_along(port: int) -> None:
    early, late = numbered(2)
    here = house(port, early)
    for _ in range(7):
        here.time = await here.outbox.deliver_due() or here.time
    assert here.memory.rows[early.id].next_try >= here.time
    here.time -= HOUR / 2
    here.memory.rows[late.id] = Waiting(late, 0, here.time)
    async with here.mail_server_up():
        await here.outbox.deliver_due()
    assert here.subjects == ["[mx1] alert 1", "[mx1] alert 0"]


async def test_a_mail_that_is_put_off_does_not_hold_up_the_next(port: int) -> None:
    here = house(port, *numbered(2))
    here.postmaster.answers["DATA"] = ["451 4.3.0 later"]
    async with here.mail_server_up():
        assert await here.outbox.deliver_due() == here.time + MINUTE
        assert here.subjects == ["[mx1] alert 1"]
        here.time += MINUTE
        await here.outbox.deliver_due()
    assert here.subjects == ["[mx1] alert 1", "[mx1] alert 0"]


async def test_a_mail_refused_for_good_is_kept_as_failed_and_said(port: int) -> None:
    here = house(port, *numbered(1))
    here.postmaster.answers["DATA"] = ["554 5.6.0 we do not like it"]
    async with here.mail_server_up():
        assert await here.outbox.deliver_due() is None
    assert here.results == [("mail", "failed")]
    assert here.memory.lost[0][0] == "told-00"
    assert "not tried again" in here.said[0]
    assert "554 5.6.0 we do not like it" in here.said[0]


async def test_after_a_day_without_a_mail_server_the_pile_comes_as_one_mail(port: int) -> None:
    quiet, grave = stories.bruteforce(id="a", severity="info"), stories.bruteforce(id="z", severity="critical", count=7)
    told = [*numbered(24), stories.notification(quiet, id="x"), stories.notification(quiet, grave, id="y")]
    here = house(port, *told)
    await here.outbox.deliver_due()
    here.time += 24 * HOUR
    async with here.mail_server_up():
        assert await here.outbox.deliver_due() is None
        await here.outbox.deliver_due()
    (mail,) = here.postmaster.mails
    assert mail["Subject"] == "[pfwatch mx1.example.org] 26 alert mails in one: they could not be delivered before"
    body = mail.get_body(("plain",))
    assert body is not None
    text = " ".join(str(body.get_content()).split())
    assert text.startswith("26 alert mails of mx1.example.org could not be delivered for a while.")
    rows = text.partition("WHAT IT MEANS")[0]
    assert rows.count("failed logins") == 26
    assert rows.index("critical") < rows.index("warning") < rows.index("info ")
    assert len(here.memory.delivered) == 26
    assert here.results[-1] == ("mail", "sent")


@pytest.mark.parametrize(("count", "hours"), [(20, 24.0), (26, 0.5)])
async def test_a_few_or_fresh_ones_still_come_one_by_one(port: int, count: int, hours: float) -> None:
    here = house(port, *numbered(count))
    await here.outbox.deliver_due()
    here.time += hours * HOUR
    async with here.mail_server_up():
        await here.outbox.deliver_due()
    assert len(here.postmaster.mails) == count


async def test_a_pile_that_cannot_be_delivered_waits_as_a_whole(port: int) -> None:
    here = house(port, *numbered(21))
    await here.outbox.deliver_due()
    here.time += 2 * HOUR
    assert await here.outbox.deliver_due() == here.time + 2 * MINUTE
    assert {row.attempts for row in here.memory.rows.values()} == {2}


async def test_the_next_channel_takes_over(port: int) -> None:
    here = house(port, *numbered(1))
    async with mail_server(here.postmaster) as other:
        broken, working = (
            SmtpChannel(
                MailSettings(recipients=("alice@example.org",), server=server), TEMPLATES, host_name="a.example"
            )
            for server in (here.server, other)
        )
        working.name = "spare"
        results: list[tuple[str, str]] = []
        outbox = Outbox(
            here.memory,
            [broken, working],
            asyncio.to_thread,
            now=lambda: here.time,
            on_result=lambda *result: results.append(result),
            say=here.said.append,
        )
        await outbox.deliver_due()
    assert results == [("mail", "retried"), ("spare", "sent")]
    assert here.memory.delivered[0][1] == "spare"


async def test_a_channel_with_a_mistake_in_it_does_not_end_the_worker(port: int) -> None:
    class Broken:
        name = "broken"

        async def send(self, notification: Notification) -> None:
            raise KeyError("a mistake in " + notification.id)

    here = house(port, *numbered(1))
    outbox = Outbox(
        here.memory,
        [Broken()],
        asyncio.to_thread,
        now=lambda: here.time,
        on_result=lambda *result: here.results.append(result),
        say=here.said.append,
    )
    assert await outbox.deliver_due() == here.time + MINUTE
    assert "unexpected KeyError: 'a mistake in told-00'" in here.said[0]


@contextlib.contextmanager
def at_work(outbox: Outbox) -> Iterator[Callable[[], bool]]:
    working = asyncio.get_running_loop().create_task(outbox.work())
    try:
        yield working.done
    finally:
        working.cancel()


async def test_the_worker_sends_a_new_notification_as_soon_as_it_is_woken(port: int) -> None:
    here = house(port)
    new = numbered(1)[0]
    looked = asyncio.Event()

    async def run(call: Callable[[], Any]) -> Any:
        result = call()
        looked.set()
        return result

    channel = SmtpChannel(MailSettings(recipients=("alice@example.org",), server=here.server), TEMPLATES)
    outbox = Outbox(
        here.memory,
        [channel],
        run,
        now=lambda: here.time,
        on_result=lambda *result: here.results.append(result),
        say=here.said.append,
    )
    async with here.mail_server_up():
        with at_work(outbox) as ended:
            await asyncio.wait_for(looked.wait(), 5)
            here.memory.rows[new.id] = Waiting(new, 0, 0.0)
            outbox.wake()
            await asyncio.wait_for(here.postmaster.arrived.wait(), 5)
            assert not ended()
    assert here.subjects == ["[mx1] alert 0"]
