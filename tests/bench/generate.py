"""Postfix logs of any length, with the truth of what is in them.

What enters: a number of lines, a mix, a seed. What leaves: chunks of whole lines, byte for byte the same for the same
arguments, and a Truth filled along. What this file must never know: how pfwatch reads a line. The truth is counted
where a line is made up, never by reading it back.
"""

import argparse
import json
import random
import sys
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar

Mix = Literal["normal", "attack"]
Form = Literal["bsd", "iso"]
Item = TypeVar("Item")

START = datetime(2026, 3, 2, 6, 0, 0, tzinfo=UTC)
CHUNK = 64 * 1024
SLOTS = 64  # conversations at the same time; a power of two, so that a random byte chooses evenly
LONGEST = 100  # no story has more lines; the last of a log are single lines, so that every story is told to its end
MAX_USE = 100  # Postfix replaces a process after so many clients
REGULARS = 180  # clients that come often, all of them IPv4
RETRY_SECONDS = 300  # Postfix tries a deferred message again after minimal_backoff_time
SECURITY_SHARE: dict[Mix, float] = {"normal": 0.08, "attack": 0.80}
ATTEMPTS: dict[Mix, tuple[int, int]] = {"normal": (1, 4), "attack": (12, 20)}  # 20 is smtpd_hard_error_limit
SECURITY_KINDS = ("auth_failed", "relay_denied", "rejected", "tls_failed", "tls_detail", "rate_limited")

COMMANDS = ("ehlo", "starttls", "auth", "mail", "rcpt", "data", "quit")
NAMES = ("alice", "bruno", "chandra", "dora", "emre", "freya", "goran", "hanna", "idris", "jonas", "kaya", "lena")
USERS = tuple(f"{name}@example.org" for name in NAMES)
GUESSED = (*USERS, "admin", "info", "postmaster", "test", "sales", "root", "office", "support", "scanner")
CORRESPONDENTS = tuple(f"{name}{number}@example.net" for name in NAMES for number in range(20))
REMOTE_SERVERS = (
    "mx1.example.net[198.51.100.250]:25",
    "mx2.example.net[203.0.113.250]:25",
    "mx.mail.example.net[2001:db8:ffff::25]:25",
)
TIMES = tuple(
    f"delay={(a + b + c + d) / 100:.2g}, delays={a / 100:.2g}/{b / 100:.2g}/{c / 100:.2g}/{d / 100:.2g}"
    for a, b, c, d in ((i * 7 % 31, i * 3 % 11, i * 13 % 170, i * 29 % 230) for i in range(64))
)
TLS_SESSION = (
    "TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits) key-exchange X25519"
    " server-signature RSA-PSS (2048 bits) server-digest SHA256"
)
TLS_LIBRARY = (
    "0A0000C1:SSL routines::no shared cipher:../ssl/statem/statem_srvr.c:2220:",
    "0A00010B:SSL routines::wrong version number:../ssl/record/ssl3_record.c:354:",
    "0A000102:SSL routines::unsupported protocol:../ssl/statem/statem_srvr.c:1657:",
    "0A000418:SSL routines::tlsv1 alert unknown ca:../ssl/record/rec_layer_s3.c:1586:SSL alert number 48:",
    "0A000416:SSL routines::sslv3 alert certificate unknown:../ssl/record/rec_layer_s3.c:1586:SSL alert number 46:",
)
REFUSALS = (  # category, stage, reply
    ("unknown_user", "RCPT", "550 5.1.1 <{to}>: Recipient address rejected: User unknown in virtual mailbox table"),
    ("rbl", "RCPT", "554 5.7.1 Service unavailable; Client host [{address}] blocked using dnsbl.example.net; listed"),
    ("helo", "RCPT", "504 5.5.2 <{helo}>: Helo command rejected: need fully-qualified hostname"),
    ("greylist", "RCPT", "450 4.2.0 <{to}>: Recipient address rejected: Greylisted, come back in 300 seconds"),
    ("sender_domain", "RCPT", "450 4.1.8 <{sender}>: Sender address rejected: Domain not found"),
    ("access", "RCPT", "554 5.7.1 <{client}>: Client host rejected: Access denied"),
    ("client_dns", "RCPT", "450 4.7.25 Client host rejected: cannot find your hostname, [{address}]"),
    ("size", "MAIL", "552 5.3.4 Message size exceeds fixed limit"),
)  # fmt: skip


@dataclass
class Truth:
    """What a log holds; complete once its generator is exhausted. Every line is in `kinds` or `foreign`, once."""

    lines: int = 0
    foreign: int = 0
    kinds: Counter[str] = field(default_factory=Counter)  # by the public name of the event; message_accepted: by line
    auth_failed_by_client: Counter[str] = field(default_factory=Counter)
    auth_failed_by_account: Counter[str] = field(default_factory=Counter)  # failures that name none are left out
    relay_denied_by_client: Counter[str] = field(default_factory=Counter)
    tls_failed_by_client: Counter[str] = field(default_factory=Counter)
    rejected_by_category: Counter[str] = field(default_factory=Counter)
    deliveries_by_status: Counter[str] = field(default_factory=Counter)

    @property
    def security_lines(self) -> int:
        """The lines that somebody who asks for attacks only would want to see."""
        return sum(map(self.kinds.__getitem__, SECURITY_KINDS))


class Client(NamedTuple):
    """Somebody who connects: the address, and `name[address]` as Postfix writes it."""

    address: str
    token: str


class Workers:
    """The processes that serve one slot. A slot tells one story at a time, so no process serves two clients."""

    def __init__(self, first_pid: int) -> None:
        self.served = 0
        daemons = ("smtpd", "submission/smtpd", "smtps/smtpd", "cleanup", "smtp", "lmtp", "local", "virtual")
        tags = [f"postfix/{daemon}[{first_pid + offset}]: " for offset, daemon in enumerate(daemons)]
        self.smtpd, self.submission, self.smtps, self.cleanup, self.smtp, self.lmtp, self.local, self.virtual = tags


class Session:
    """One client at one smtpd: its lines so far, and the commands that its last line sums up."""

    def __init__(self, tag: str, client: Client, truth: Truth) -> None:
        self.tag, self.client, self.truth = tag, client, truth
        self.lines: list[str] = []
        self.commands: dict[str, tuple[int, int]] = {}
        self.log("client_connected", f"connect from {client.token}")

    def log(self, kind: str, text: str) -> None:
        self.truth.kinds[kind] += 1
        self.lines.append(self.tag + text)

    def encrypt(self) -> None:
        """A TLS session; STARTTLS and a second EHLO everywhere but on smtps."""
        self.log("tls_established", f"Anonymous TLS connection established from {self.client.token}: {TLS_SESSION}")
        if "smtps/" not in self.tag:
            self.commands.update(ehlo=(2, 2), starttls=(1, 1))

    def refuse(self, stage: str, reply: str, sender: str, recipient: str, helo: str) -> None:
        """A refused command; the caller counts what kind of refusal it was."""
        to = f" to=<{recipient}>" if recipient else ""
        self.lines.append(
            f"{self.tag}NOQUEUE: reject: {stage} from {self.client.token}: {reply};"
            f" from=<{sender}>{to} proto=ESMTP helo=<{helo}>"
        )

    def end(self, *, stage: str = "", reason: str = "lost connection") -> list[str]:
        """Say goodbye, or with a stage break off there; returns the lines of the whole session."""
        if stage:
            self.log("session_aborted", f"{reason} after {stage} from {self.client.token}")
        else:
            self.commands["quit"] = (1, 1)
        sums, done, tried = "", 0, 0
        for name in COMMANDS:
            if name in self.commands:
                good, all_of_it = self.commands[name]
                sums += f" {name}={good}" if good == all_of_it else f" {name}={good}/{all_of_it}"
                done, tried = done + good, tried + all_of_it
        total = f"{done}" if done == tried and tried else f"{done}/{tried}"
        self.log("client_disconnected", f"disconnect from {self.client.token}{sums} commands={total}")
        return self.lines


class Message(NamedTuple):
    """A message in the queue, with what its later lines repeat."""

    queue_id: str
    sender: str
    size: int
    recipients: tuple[str, ...]


class Traffic:
    """A mail server's day: stories (lists of lines without their header), taken line by line from many at once."""

    def __init__(self, lines: int, mix: Mix, seed: int, clients: int, long_ids: float, truth: Truth) -> None:
        self.random = random.Random(seed)
        self.truth, self.mix, self.long_ids = truth, mix, long_ids
        self.total = self.unplanned = lines
        self.now = START
        self.messages = 0
        self.next_pid = 2000
        self.slots: list[list[str]] = [[] for _ in range(SLOTS)]
        self.workers = [self._fork() for _ in range(SLOTS)]
        everybody = _clients(clients)
        self.friends, self.attackers = everybody[::4], [c for i, c in enumerate(everybody) if i % 4] or everybody
        self.deferred: deque[tuple[datetime, Message]] = deque()
        self.hostile_stories: tuple[Callable[[Workers], list[str]], ...]
        self.peaceful_stories: tuple[Callable[[Workers], list[str]], ...]
        auth, refuse, relay = self._password_guessing, self._refused_mail, self._relay_probe
        rare = (relay, self._failed_handshake, self._rate_limit)
        self.hostile_stories = (auth, refuse) * 5 + (auth, *rare * (3 if mix == "normal" else 1))
        receive, submit, foreign = self._received_mail, self._submitted_mail, self._mailbox_login
        self.peaceful_stories = (
            (receive,) * 22 + (submit,) * 10 + (foreign,) * 6
            + (self._monitor, self._monitor, self._screened_client, self._local_mail, self._peaks)
        )  # fmt: skip

    def take(self, count: int) -> list[str]:
        """The next lines, perhaps one more; exactly as many as were announced come out over all calls, every story
        complete.
        """
        slots, taken = self.slots, list[str]()
        while len(taken) < count:
            for byte in self.random.randbytes(count - len(taken)):
                slot = byte % SLOTS
                story = slots[slot]
                if not story and self.unplanned:
                    story = slots[slot] = self._plan(slot)
                if story:
                    taken.append(story.pop())
                    if story and "TLS library problem" in story[-1]:  # Postfix writes it together with the line before
                        taken.append(story.pop())
        return taken

    def _plan(self, slot: int) -> list[str]:
        workers = self.workers[slot]
        workers.served += 1
        if workers.served > MAX_USE:
            workers = self.workers[slot] = self._fork()
        if self.unplanned < LONGEST:
            story = self._mailbox_login(workers)[:1]
        elif self.deferred and self.deferred[0][0] <= self.now:
            story = self._retry(workers)
        elif self.truth.security_lines < SECURITY_SHARE[self.mix] * (self.total - self.unplanned):
            story = self._choose(self.hostile_stories)(workers)
        else:
            story = self._choose(self.peaceful_stories)(workers)
        self.unplanned -= len(story)
        self.truth.lines += len(story)
        self.truth.foreign += story[0].startswith("dovecot: ") * len(story)
        story.reverse()
        return story

    def _fork(self) -> Workers:
        self.next_pid += 8
        return Workers(self.next_pid)

    def _choose(self, items: Sequence[Item]) -> Item:
        return items[int(self.random.random() * len(items))]

    def _meet(self, clients: Sequence[Client]) -> Client:
        """Half of all visits are those of the IPv4 clients, some of which come often; the others come seldom."""
        head = min(len(clients), REGULARS)
        if head == len(clients) or self._chance(0.5):
            return clients[int(self.random.random() ** 2 * head)]
        return clients[head + int(self.random.random() * (len(clients) - head))]

    def _chance(self, share: float) -> bool:
        return self.random.random() < share

    def _queue_id(self) -> str:
        self.messages += 1
        microseconds, inode = self.messages * 7919 % 1_000_000, 0x266000 + self.messages * 5 % 4096
        if not self._chance(self.long_ids):
            return f"{microseconds:05X}{inode:X}"
        seconds = int(self.now.timestamp())
        return f"{_digits(seconds, 52, 6)}{_digits(microseconds, 52, 4)}z{_digits(inode, 51, 0)}"

    # Peaceful stories

    def _received_mail(self, workers: Workers) -> list[str]:
        session = self._smtp_session(workers, self.friends)
        if self._chance(0.6):
            session.encrypt()
        senders = ("", *CORRESPONDENTS) if self._chance(0.05) else CORRESPONDENTS
        return self._mail(session, workers, senders, USERS, login="")

    def _submitted_mail(self, workers: Workers) -> list[str]:
        tag = workers.submission if self._chance(0.7) else workers.smtps
        session = Session(tag, self._meet(self.friends), self.truth)
        session.commands["ehlo"] = (1, 1)
        session.encrypt()
        session.commands["auth"] = (1, 1)
        user = self._choose(USERS)
        return self._mail(session, workers, (user,), CORRESPONDENTS, login=user)

    def _mail(
        self, session: Session, workers: Workers, senders: Sequence[str], recipients: Sequence[str], login: str
    ) -> list[str]:
        """One to three messages in one session; what follows the last word of smtpd may still go on without it."""
        count, given, later = 1 + int(self.random.random() ** 3 * 3), 0, list[str]()
        for number in range(count):
            wanted = tuple(self._choose(recipients) for _ in range(1 + int(self.random.random() ** 4 * 3)))
            message = Message(self._queue_id(), self._choose(senders), 600 + int(self.random.random() * 90_000), wanted)
            given += len(wanted)
            sasl = f", sasl_method=PLAIN, sasl_username={login}" if login else ""
            session.log("message_accepted", f"{message.queue_id}: client={session.client.token}{sasl}")
            queued = [self._identified(workers, message.queue_id), *self._activated(workers, message)]
            if number == count - 1 and self._chance(0.7):
                later = queued  # the client is gone before its last message is delivered
            else:
                session.lines += queued
        session.commands.update(mail=(count, count), rcpt=(given, given), data=(count, count))
        return session.end() + later

    def _identified(self, workers: Workers, queue_id: str) -> str:
        self.truth.kinds["message_identified"] += 1
        return (
            f"{workers.cleanup}{queue_id}: message-id=<{self.messages * 0x9E3779B97F4A7C15 % 2**64:016x}@example.net>"
        )

    def _activated(self, workers: Workers, message: Message) -> list[str]:
        """From the active queue to the end of the message, or to the deferred queue."""
        queue_id, sender, size, recipients = message
        self.truth.kinds["message_queued"] += 1
        story = [
            f"postfix/qmgr[1017]: {queue_id}: from=<{sender}>, size={size}, nrcpt={len(recipients)} (queue active)"
        ]
        bounced, waiting = False, list[str]()
        for recipient in recipients:
            status = self._deliver(workers, queue_id, recipient, story)
            bounced |= status == "bounced"
            if status == "deferred":
                waiting.append(recipient)
        if waiting:
            again = self.now + timedelta(seconds=RETRY_SECONDS)
            self.deferred.append((again, message._replace(recipients=tuple(waiting))))
        if bounced and sender:
            notice = Message(self._queue_id(), "", 2400, (sender,))
            self.truth.kinds["notified"] += 1
            story.append(self._identified(workers, notice.queue_id))
            story.append(f"postfix/bounce[1019]: {queue_id}: sender non-delivery notification: {notice.queue_id}")
            story += self._activated(workers, notice)
        if not waiting:
            self.truth.kinds["message_removed"] += 1
            story.append(f"postfix/qmgr[1017]: {queue_id}: removed")
        return story

    def _deliver(self, workers: Workers, queue_id: str, recipient: str, story: list[str]) -> str:
        """One recipient's delivery lines; returns its status."""
        luck, server = self.random.random(), self._choose(REMOTE_SERVERS)
        status, dsn, relay, tag = "sent", "2.0.0", server, workers.smtp
        if recipient.endswith("@example.org"):
            tag, relay, reply = self._choose(
                (
                    (workers.lmtp, "mx1.example.org[private/dovecot-lmtp]", f"250 2.0.0 <{recipient}> Saved"),
                    (workers.virtual, "virtual", "delivered to maildir"),
                    (workers.local, "local", "delivered to mailbox"),
                )
            )
        elif luck < 0.04:
            status, dsn, relay = "deferred", "4.4.1", "none"
            reply = f"connect to {server}: Connection timed out"
            self.truth.kinds["delivery_attempted"] += 1
            story.append(tag + reply)
        elif luck < 0.08:
            status, dsn, host = "bounced", "5.1.1", server.removesuffix(":25")
            reply = f"host {host} said: 550 5.1.1 <{recipient}>: no such mailbox here (in reply to RCPT TO command)"
        else:
            reply = f"250 2.0.0 Ok: queued as {self.messages * 2654435761 % 2**36:09X}"
            if luck > 0.3:
                self.truth.kinds["tls_established"] += 1
                story.append(f"{tag}Trusted TLS connection established to {server}: {TLS_SESSION}")
        self.truth.kinds["delivery"] += 1
        self.truth.deliveries_by_status[status] += 1
        times = self._choose(TIMES)
        story.append(f"{tag}{queue_id}: to=<{recipient}>, relay={relay}, {times}, dsn={dsn}, status={status} ({reply})")
        return status

    def _retry(self, workers: Workers) -> list[str]:
        return self._activated(workers, self.deferred.popleft()[1])

    def _local_mail(self, workers: Workers) -> list[str]:
        message = Message(self._queue_id(), "root@example.org", 900, (self._choose(USERS),))
        self.truth.kinds["message_accepted"] += 1
        story = [f"postfix/pickup[1018]: {message.queue_id}: uid=0 from=<root>"]
        return [*story, self._identified(workers, message.queue_id), *self._activated(workers, message)]

    def _monitor(self, workers: Workers) -> list[str]:
        return Session(workers.smtpd, self._meet(self.friends), self.truth).end(stage="CONNECT")

    def _screened_client(self, workers: Workers) -> list[str]:
        """postscreen: one process for everybody; a blocked client stays with it, others go on to smtpd."""
        tag, client = "postfix/postscreen[1022]: ", self._meet(self.attackers)
        peer = f"[{client.address}]:{1024 + int(self.random.random() * 60_000)}"
        story = [f"{tag}CONNECT from {peer} to [192.0.2.250]:25"]
        if self._chance(0.6):
            self.truth.kinds["postscreen_event"] += 2
            return [*story, f"{tag}PASS OLD {peer}", *self._received_mail(workers)]
        reply = f"550 5.7.1 Service unavailable; client [{client.address}] blocked using dnsbl.example.net"
        attributes = f"from=<offer@example.net>, to=<{self._choose(USERS)}>, proto=ESMTP, helo=<example.net>"
        self.truth.kinds.update(postscreen_event=3, dnsbl_listed=1, rejected=1)
        self.truth.rejected_by_category["rbl"] += 1
        return [
            *story,
            f"postfix/dnsblog[1023]: addr {client.address} listed by domain dnsbl.example.net as 127.0.0.2",
            f"{tag}DNSBL rank 3 for {peer}",
            f"{tag}NOQUEUE: reject: RCPT from {peer}: {reply}; {attributes}",
            f"{tag}DISCONNECT {peer}",
        ]

    def _peaks(self, _workers: Workers) -> list[str]:
        self.truth.kinds["rate_peak"] += 3
        peer, at = f"(smtp:{self._meet(self.attackers).address})", self.now.strftime("%b %e %H:%M:%S")
        return [
            f"postfix/anvil[1024]: statistics: max connection rate {self.random.randint(2, 60)}/60s for {peer} at {at}",
            f"postfix/anvil[1024]: statistics: max connection count {self.random.randint(1, 20)} for {peer} at {at}",
            f"postfix/anvil[1024]: statistics: max cache size {self.random.randint(1, 90)} at {at}",
        ]

    def _mailbox_login(self, _workers: Workers) -> list[str]:
        user, address = self._choose(USERS), self._meet(self.friends).address
        session = f"{self.random.getrandbits(64):016x}"
        where = f"rip={address}, lip=192.0.2.250, TLS, session=<{session}>"
        return [
            f"dovecot: imap-login: Login: user=<{user}>, method=PLAIN, {where}",
            f"dovecot: imap({user})<{session}>: Disconnected: Logged out in=412 out=2871",
        ]

    # Hostile stories

    def _smtp_session(self, workers: Workers, clients: Sequence[Client]) -> Session:
        client = self._meet(clients)
        doubt = client.token.startswith("unknown") and self._chance(0.1)
        session = Session(workers.smtpd, client, self.truth)
        session.commands["ehlo"] = (1, 1)
        if doubt:
            self.truth.kinds["dns_mismatch"] += 1
            reason = f"does not resolve to address {client.address}: Name or service not known"
            session.lines.insert(0, f"{workers.smtpd}warning: hostname pool.example.net {reason}")
        return session

    def _attempts(self) -> int:
        return self.random.randint(*ATTEMPTS[self.mix])

    def _password_guessing(self, workers: Workers) -> list[str]:
        if self._chance(0.6):
            session = self._smtp_session(workers, self.attackers)
        else:
            session = Session(workers.submission, self._meet(self.attackers), self.truth)
            session.encrypt()
        truth, client, attempts = self.truth, session.client, self._attempts()
        account, spray, named = self._choose(GUESSED), self._chance(0.3), self._chance(0.8)
        method = "LOGIN" if self._chance(0.7) else "PLAIN"
        for _ in range(attempts):
            if spray:
                account = self._choose(GUESSED)
            # Postfix names the account since 3.7.8; logs from before an upgrade show the last challenge instead.
            reason = f"(reason unavailable), sasl_username={account}" if named else "UGFzc3dvcmQ6"
            session.log("auth_failed", f"warning: {client.token}: SASL {method} authentication failed: {reason}")
            if named:
                truth.auth_failed_by_account[account] += 1
        truth.auth_failed_by_client[client.address] += attempts
        session.commands["auth"] = (0, attempts)
        if attempts == 20:
            return session.end(stage="AUTH", reason="too many errors")
        return session.end(stage="" if self._chance(0.7) else "AUTH")

    def _relay_probe(self, workers: Workers) -> list[str]:
        session, attempts = self._smtp_session(workers, self.attackers), self._attempts()
        sender = self._choose(CORRESPONDENTS)
        for _ in range(attempts):
            target = self._choose(CORRESPONDENTS)
            session.refuse("RCPT", f"554 5.7.1 <{target}>: Relay access denied", sender, target, "[192.0.2.1]")
        self.truth.kinds["relay_denied"] += attempts
        self.truth.relay_denied_by_client[session.client.address] += attempts
        session.commands.update(mail=(1, 1), rcpt=(0, attempts))
        return session.end(stage="" if self._chance(0.8) else "RCPT")

    def _refused_mail(self, workers: Workers) -> list[str]:
        session, attempts = self._smtp_session(workers, self.attackers), self._attempts()
        client, sender = session.client, self._choose(CORRESPONDENTS)
        category, stage, template = self._choose(REFUSALS)
        if category == "client_dns" and not client.token.startswith("unknown"):
            category, stage, template = REFUSALS[0]
        helo = "user-pc" if category == "helo" else "mail.example.net"
        for _ in range(attempts):
            to = self._choose(NAMES) + "x@example.org" if category == "unknown_user" else self._choose(USERS)
            reply = template.format(to=to, address=client.address, helo=helo, sender=sender, client=client.token)
            session.refuse(stage, reply, sender, to if stage == "RCPT" else "", helo)
        self.truth.kinds["rejected"] += attempts
        self.truth.rejected_by_category[category] += attempts
        session.commands["mail"] = (0, attempts) if stage == "MAIL" else (1, 1)
        if stage == "RCPT":
            session.commands["rcpt"] = (0, attempts)
        return session.end()

    def _failed_handshake(self, workers: Workers) -> list[str]:
        tag = self._choose((workers.smtpd, workers.submission, workers.smtps))
        session = Session(tag, self._meet(self.attackers), self.truth)
        stage = "CONNECT" if tag is workers.smtps else "STARTTLS"
        if stage == "STARTTLS":
            session.commands.update(ehlo=(1, 1), starttls=(0, 1))
        reason = self._choose(("-1", "-1", "-1", "lost connection", "Connection reset by peer"))
        session.log("tls_failed", f"SSL_accept error from {session.client.token}: {reason}")
        self.truth.tls_failed_by_client[session.client.address] += 1
        if reason == "-1":
            session.log("tls_detail", f"warning: TLS library problem: error:{self._choose(TLS_LIBRARY)}")
        return session.end(stage=stage)

    def _rate_limit(self, workers: Workers) -> list[str]:
        session = Session(workers.smtpd, self._meet(self.attackers), self.truth)
        limit = self._choose(("Connection rate", "Connection concurrency"))
        number = self.random.randint(51, 99)
        text = f"warning: {limit} limit exceeded: {number} from {session.client.token} for service smtp"
        session.log("rate_limited", text)
        return session.end(stage="CONNECT")


def generate(
    lines: int,
    mix: Mix = "normal",
    seed: int = 1,
    form: Form = "bsd",
    start: datetime = START,
    distinct_clients: int = 20_000,
    *,
    rate: int = 50,
    long_ids: float = 0.0,
    truth: Truth | None = None,
) -> Iterator[bytes]:
    """Yield `lines` lines in chunks of about 64 KiB, `rate` of them to a second of the log, and fill `truth`.

    `distinct_clients` is the size of the crowd; a short log does not meet all of it. `long_ids` is the share of
    messages whose queue id has the long form. Bodies do not depend on `form`.
    """
    traffic = Traffic(lines, mix, seed, distinct_clients, long_ids, Truth() if truth is None else truth)
    traffic.now, pending, size = start, list[str](), 0
    while lines:
        count = min(lines, max(1, int(rate * (0.5 + traffic.random.random()))))
        bodies = traffic.take(count)
        lines -= len(bodies)
        text = _render(bodies, traffic.now, form)
        traffic.now += timedelta(seconds=1)
        pending.append(text)
        size += len(text)
        if size >= CHUNK or not lines:
            yield "".join(pending).encode("ascii")
            pending, size = [], 0


def _render(bodies: list[str], second: datetime, form: Form) -> str:
    if form == "bsd":
        header = second.strftime("%b %e %H:%M:%S mx1 ")
        return header + f"\n{header}".join(bodies) + "\n"
    stamp = second.strftime("%Y-%m-%dT%H:%M:%S")
    return "".join([f"{stamp}{tail}{body}\n" for tail, body in zip(_tails(len(bodies)), bodies, strict=True)])


@lru_cache(maxsize=128)
def _tails(count: int) -> list[str]:
    """What stands between the second and the tag when `count` lines share a second."""
    return [f".{number * 1_000_000 // count + 137:06d}+00:00 mx1 " for number in range(count)]


def _clients(count: int) -> list[Client]:
    """Distinct clients, the IPv4 addresses set aside for documentation first; two in five have no name."""
    nets = ("192.0.2", "198.51.100", "203.0.113")
    addresses = [f"{net}.{host}" for host in range(1, 250) for net in nets][:count]
    addresses += [
        f"2001:db8:{i // 400 + 1:x}:{i % 400 + 1:x}::{i * 31 % 65_000 + 1:x}" for i in range(count - len(addresses))
    ]
    names = [f"host-{a.replace('.', '-').replace(':', '-')}.example.net" for a in addresses]
    return [Client(a, f"{'unknown' if i % 5 < 2 else names[i]}[{a}]") for i, a in enumerate(addresses)]


def _digits(number: int, base: int, width: int) -> str:
    """A number in the alphabet of long queue ids, which has no vowels."""
    alphabet, text = "0123456789BCDFGHJKLMNPQRSTVWXYZbcdfghjklmnpqrstvwxyz", ""
    while number or len(text) < width:
        number, digit = divmod(number, base)
        text = alphabet[digit] + text
    return text


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.generate", description="Write a log with known truth.")
    parser.add_argument("--lines", type=int, default=1_000_000)
    parser.add_argument("--mix", choices=("normal", "attack"), default="normal")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--form", choices=("bsd", "iso"), default="bsd")
    parser.add_argument("--rate", type=int, default=50, help="lines to a second of the log")
    parser.add_argument("--long-ids", type=float, default=0.0, metavar="SHARE", help="share of long queue ids")
    parser.add_argument("--clients", type=int, default=20_000)
    parser.add_argument("--output", type=Path, help="file to write; standard output without it")
    parser.add_argument("--truth", type=Path, help="JSON file for what the log holds")
    asked = parser.parse_args(arguments)
    if asked.lines < 1 or asked.rate < 1 or asked.clients < 1:
        parser.error("--lines, --rate and --clients have to be 1 or more")
    options: dict[str, Any] = {"rate": asked.rate, "long_ids": asked.long_ids, "distinct_clients": asked.clients}
    try:
        write(asked.output, asked.truth, asked.lines, asked.mix, asked.seed, asked.form, **options)
    except OSError as error:
        parser.exit(1, f"{parser.prog}: cannot write the log or its truth: {error}\n")
    return 0


def write(
    output: Path | None, truth_file: Path | None, lines: int, mix: Mix, seed: int, form: Form, **options: Any
) -> None:
    """Write a log, to standard output without a path, and its truth."""
    truth = Truth()
    with output.open("wb") if output else nullcontext(sys.stdout.buffer) as file:
        for chunk in generate(lines, mix, seed, form, truth=truth, **options):
            file.write(chunk)
    if truth_file:
        truth_file.write_text(json.dumps(vars(truth), indent=1, sort_keys=True), encoding="ascii")


if __name__ == "__main__":
    sys.exit(main())
