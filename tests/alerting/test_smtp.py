"""The mail channel against a real SMTP server."""

import asyncio
import re
import ssl
import subprocess
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pfwatch.alerting.channels.smtp import ChannelError, SmtpChannel
from pfwatch.alerting.channels.templates import load_templates
from pfwatch.alerting.settings import MailSettings, SmtpServer
from tests.alerting import stories
from tests.alerting.mailserver import Postmaster, mail_server

TEMPLATES = load_templates()
STORY = stories.notification(stories.bruteforce())
ALICE, BOB = "alice@example.org", "bob@example.org"


def channel(*servers: SmtpServer, recipients: tuple[str, ...] = (ALICE,), sender: str = "") -> SmtpChannel:
    server, fallback = (*servers, None)[:2]
    assert server is not None
    settings = MailSettings(recipients=recipients, server=server, fallback=fallback, sender=sender)
    return SmtpChannel(settings, TEMPLATES, host_name="watcher.example.org")


def but(server: SmtpServer, **changes: Any) -> SmtpServer:
    return msgspec.structs.replace(server, **changes)


async def failure(of: SmtpChannel) -> ChannelError:
    with pytest.raises(ChannelError) as caught:
        await of.send(STORY)
    return caught.value


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Key and certificate for `localhost` in one file, signed by themselves."""
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    command = ["openssl", "req", "-x509", *key, *subject, "-keyout", str(path), "-out", f"{path}.crt"]
    subprocess.run(command, check=True, capture_output=True)
    path.write_text(path.read_text() + Path(f"{path}.crt").read_text())
    return path


@pytest.fixture
def tls(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


@pytest.fixture
def trusted(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", f"{certificate}.crt")


async def test_the_mail_arrives_from_this_host_for_every_recipient() -> None:
    postmaster = Postmaster()
    async with mail_server(postmaster) as server:
        await channel(server, recipients=(ALICE, BOB)).send(STORY)
    (envelope,) = postmaster.envelopes
    assert (envelope.mail_from, envelope.rcpt_tos) == ("pfwatch@watcher.example.org", [ALICE, BOB])
    assert postmaster.hellos == ["watcher.example.org"]
    assert postmaster.mails[0]["Subject"] == STORY.subject_line
    assert postmaster.mails[0]["To"] == f"{ALICE}, {BOB}"


async def test_hostile_text_reaches_no_header_and_no_other_recipient() -> None:
    hostile = "x\r\nBcc: victim@example.net\r\n.\r\nRCPT TO:<victim@example.net>\r\n"
    incident = stories.bruteforce(tops={"account": [(hostile, 1)]}, evidence=[hostile, "."], host=hostile)
    postmaster = Postmaster()
    async with mail_server(postmaster) as server:
        told = stories.notification(incident, subject_line=hostile, host=hostile, id=hostile, thread=hostile)
        await channel(server).send(told)
    assert postmaster.envelopes[0].rcpt_tos == [ALICE]
    assert len(postmaster.mails) == 1
    assert postmaster.mails[0]["Bcc"] is None


async def test_opportunistic_encrypts_without_looking_at_the_certificate(tls: ssl.SSLContext) -> None:
    postmaster = Postmaster()
    async with mail_server(postmaster, starttls=tls) as server:
        await channel(but(server, tls="opportunistic")).send(STORY)
    assert postmaster.encrypted == [True]


async def test_opportunistic_goes_without_where_starttls_is_not_offered() -> None:
    postmaster = Postmaster()
    async with mail_server(postmaster) as server:
        await channel(but(server, tls="opportunistic")).send(STORY)
    assert postmaster.encrypted == [False]


async def test_opportunistic_goes_without_where_the_handshake_fails() -> None:
    without_certificate = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    postmaster = Postmaster()
    async with mail_server(postmaster, starttls=without_certificate) as server:
        await channel(but(server, tls="opportunistic")).send(STORY)
    assert postmaster.encrypted == [False]


@pytest.mark.usefixtures("trusted")
async def test_starttls_and_implicit_tls_are_taken_when_the_certificate_is_good(tls: ssl.SSLContext) -> None:
    postmaster = Postmaster()
    async with mail_server(postmaster, starttls=tls) as server:
        await channel(but(server, tls="starttls")).send(STORY)
    async with mail_server(postmaster, implicit=tls) as server:
        await channel(but(server, tls="implicit")).send(STORY)
    assert postmaster.encrypted == [True, True]


@pytest.mark.parametrize("mode", ["starttls", "implicit"])
async def test_a_certificate_that_nobody_vouches_for_is_refused_with_a_way_out(tls: ssl.SSLContext, mode: str) -> None:
    postmaster = Postmaster()
    kind = {mode: tls}
    async with mail_server(postmaster, **kind) as server:  # type: ignore[arg-type]
        error = await failure(channel(but(server, tls=mode)))
    assert "the certificate of localhost is not trusted: self-signed certificate" in error.message
    assert "SSL_CERT_FILE" in error.message
    assert error.temporary
    assert postmaster.mails == []


@pytest.mark.usefixtures("trusted")
async def test_a_certificate_for_another_name_is_refused(tls: ssl.SSLContext) -> None:
    async with mail_server(Postmaster(), implicit=tls) as server:
        error = await failure(channel(but(server, tls="implicit", host="127.0.0.1")))
    assert "IP address mismatch" in error.message


async def test_required_starttls_that_is_not_offered_sends_nothing() -> None:
    postmaster = Postmaster()
    async with mail_server(postmaster) as server:
        error = await failure(channel(but(server, tls="starttls")))
    assert re.fullmatch(r"localhost:\d+: STARTTLS: the server does not offer it\. .*", error.message)
    assert (postmaster.mails, error.temporary, error.unreachable) == ([], True, True)


@pytest.mark.usefixtures("trusted")
async def test_it_logs_in_and_keeps_the_password_out_of_the_transcript(tls: ssl.SSLContext) -> None:
    postmaster = Postmaster()
    async with mail_server(postmaster, starttls=tls, login=True) as server:
        way = channel(but(server, tls="starttls", username="watcher", password="right"))
        await way.send(STORY)
    assert len(postmaster.mails) == 1
    assert postmaster.logins
    assert "> login" in way.transcript
    assert not re.search("right|cmlnaHQ|d2F0Y2hlcg", way.transcript)


async def test_a_refused_login_names_step_answer_and_setting_and_the_mail_waits() -> None:
    async with mail_server(Postmaster(), login=True) as server:
        error = await failure(channel(but(server, username="watcher", password="wrong")))
    assert re.search(r"localhost:\d+: login: the server answered 535 .*password_file", error.message)
    assert (error.temporary, error.unreachable) == (True, True)
    assert "wrong" not in error.transcript + error.message


async def test_a_refused_recipient_does_not_cost_the_others_their_mail() -> None:
    postmaster = Postmaster()
    postmaster.answers[BOB] = ["550 5.1.1 <bob@example.org>: no such user"]
    async with mail_server(postmaster) as server:
        error = await failure(channel(server, recipients=(ALICE, BOB)))
    assert postmaster.envelopes[0].rcpt_tos == [ALICE]
    assert f"RCPT TO:<{BOB}>: the server answered 550 5.1.1" in error.message
    assert error.message.endswith("The other recipients have the mail")
    assert (error.temporary, error.unreachable) == (False, False)


async def test_a_recipient_put_off_gets_the_mail_later_and_the_others_do_not_get_it_twice() -> None:
    postmaster = Postmaster()
    postmaster.answers[BOB] = ["450 4.2.0 greylisted"]
    async with mail_server(postmaster) as server:
        way = channel(server, recipients=(ALICE, BOB))
        assert (await failure(way)).temporary
        await way.send(STORY)
    assert [envelope.rcpt_tos for envelope in postmaster.envelopes] == [[ALICE], [BOB]]


async def test_a_temporary_failure_says_so_and_the_next_attempt_succeeds() -> None:
    postmaster = Postmaster()
    postmaster.answers["DATA"] = ["451 4.3.0 queue\tis full"]
    async with mail_server(postmaster) as server:
        way = channel(server)
        error = await failure(way)
        assert re.fullmatch(r"localhost:\d+: DATA: the server answered 451 4\.3\.0 queue is full", error.message)
        assert (error.temporary, error.unreachable) == (True, False)
        assert "> DATA\n< 451 4.3.0" in error.transcript
        await way.send(STORY)
    assert len(postmaster.mails) == 1


async def test_a_mail_refused_for_good_is_a_permanent_failure() -> None:
    postmaster = Postmaster()
    postmaster.answers["DATA"] = ["554 5.6.0 no"]
    async with mail_server(postmaster) as server:
        assert not (await failure(channel(server))).temporary


async def test_nobody_listening_is_said_with_what_to_check() -> None:
    async with mail_server(Postmaster()) as server:
        pass
    error = await failure(channel(server))
    assert error.message.startswith(f"localhost:{server.port}: connect: ")
    assert "Check [mail] host, port and tls" in error.message
    assert (error.temporary, error.unreachable) == (True, True)


async def test_a_server_that_never_speaks_is_given_up() -> None:
    hung_up = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()
        await writer.wait_closed()
        hung_up.set()

    listening = await asyncio.start_server(silent, "127.0.0.1", 0)
    async with listening:
        port = listening.sockets[0].getsockname()[1]
        error = await failure(channel(SmtpServer(host="127.0.0.1", port=port, tls="none", timeout=0.05)))
        await asyncio.wait_for(hung_up.wait(), 5)
    assert error.message.startswith(f"127.0.0.1:{port}: connect: no answer within 0.05 s")
    assert error.temporary


@pytest.mark.parametrize("answers", [["451 4.3.0 later"], ["554 5.7.1 no"]])
async def test_the_next_server_takes_what_the_first_one_does_not(answers: list[str]) -> None:
    first, second = Postmaster(), Postmaster()
    first.answers["DATA"] = answers
    async with mail_server(first) as one, mail_server(second) as two:
        await channel(one, two).send(STORY)
    assert (len(first.mails), len(second.mails)) == (0, 1)


async def test_the_next_server_is_asked_when_the_first_is_down() -> None:
    async with mail_server(Postmaster()) as gone:
        pass
    second = Postmaster()
    async with mail_server(second) as two:
        await channel(gone, two).send(STORY)
    assert len(second.mails) == 1


async def test_when_both_servers_fail_both_are_named() -> None:
    postmaster = Postmaster()
    async with mail_server(Postmaster()) as gone:
        pass
    postmaster.answers["DATA"] = ["554 5.6.0 no"]
    async with mail_server(postmaster) as two:
        error = await failure(channel(gone, two))
    assert f":{gone.port}: connect" in error.message
    assert f":{two.port}: DATA" in error.message
    assert (error.temporary, error.unreachable) == (True, False)


async def test_an_address_that_is_none_is_said_not_sent() -> None:
    postmaster = Postmaster()
    async with mail_server(postmaster) as server:
        error = await failure(channel(server, sender="x y@example.org\r\nBcc: a@example.net"))
    assert "Check [mail] from and to" in error.message
    assert (error.temporary, postmaster.mails) == (False, [])
