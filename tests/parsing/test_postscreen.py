"""What postscreen and dnsblog say, also where a client types what they would say."""

import time
from typing import Any

import pytest

from pfwatch.events import POSTSCREEN_TESTS, as_object
from tests.samples.logs import read

NO_ADDRESS = (None, None, None)


def event(body: str, daemon: str = "postscreen") -> dict[str, Any]:
    """The public object of one line."""
    (one,), _ = read(f"Nov 22 10:27:54 mx1 postfix/{daemon}[767]: {body}\n".encode("utf-8", "surrogateescape"))
    return as_object(one)


def client(found: dict[str, Any]) -> tuple[Any, ...]:
    return found["client_ip"], found["client_name"], found["client_port"]


IT = "[192.0.2.9]:34679"
TESTS: list[tuple[str, str, dict[str, Any]]] = [
    (f"CONNECT from {IT} to [198.51.100.11]:25", "connect", {}),
    (f"DISCONNECT {IT}", "disconnect", {}),
    (f"PASS NEW {IT}", "pass_new", {}),
    (f"PASS OLD {IT}", "pass_old", {}),
    (f"WHITELISTED {IT}", "allowlisted", {}),
    (f"ALLOWLISTED {IT}", "allowlisted", {}),
    (f"BLACKLISTED {IT}", "denylisted", {}),
    (f"DENYLISTED {IT}", "denylisted", {}),
    (f"WHITELIST VETO {IT}", "allowlist_veto", {}),
    (f"ALLOWLIST VETO {IT}", "allowlist_veto", {}),
    (
        rf"PREGREET 14 after 0.03 from {IT}: EHLO ylmf-pc\r\n",
        "pregreet",
        {"bytes": 14, "seconds": 0.03, "sample": r"EHLO ylmf-pc\r\n"},
    ),
    (f"PREGREET 8 after 0 from {IT}: ", "pregreet", {"bytes": 8, "seconds": 0.0, "sample": ""}),
    (f"DNSBL rank 3 for {IT}", "dnsbl", {"score": 3}),
    (f"HANGUP after 0.29 from {IT} in tests before SMTP handshake", "hangup", {"seconds": 0.29}),
    (f"HANGUP after 12 from {IT} in tests after SMTP handshake", "hangup", {"seconds": 12.0}),
    (
        rf"COMMAND PIPELINING from {IT} after MAIL: RCPT TO:<b@example.org>\r\n",
        "pipelining",
        {"sample": r"RCPT TO:<b@example.org>\r\n"},
    ),
    (f"NON-SMTP COMMAND from {IT} after CONNECT: GET / HTTP/1.1", "non_smtp", {"sample": "GET / HTTP/1.1"}),
    (f"BARE NEWLINE from {IT} after EHLO bare.example.com", "bare_newline", {"sample": "EHLO bare.example.com"}),
    (f"COMMAND TIME LIMIT from {IT} after EHLO", "time_limit", {"sample": "EHLO"}),
    (f"COMMAND COUNT LIMIT from {IT} after NOOP", "count_limit", {"sample": "NOOP"}),
    (f"COMMAND LENGTH LIMIT from {IT} after MAIL", "length_limit", {"sample": "MAIL"}),
    (f"DATA without valid RCPT from {IT}", "data_without_rcpt", {}),
    (f"BDAT without valid RCPT from {IT}", "data_without_rcpt", {}),
    (f"reject: connect from {IT}: all screening ports busy", "busy", {}),
]


@pytest.mark.parametrize(("body", "test", "fields"), TESTS)
def test_a_test_and_how_the_client_did(body: str, test: str, fields: dict[str, Any]) -> None:
    found = event(body)
    assert (found["kind"], found["test"], client(found)) == ("postscreen_event", test, ("192.0.2.9", None, 34679))
    assert {name: found[name] for name in ("score", "bytes", "seconds", "sample")} == {
        "score": None, "bytes": None, "seconds": None, "sample": None, **fields,
    }  # fmt: skip


def test_every_test_of_the_contract_has_its_line() -> None:
    assert {test for _, test, _ in TESTS} == set(POSTSCREEN_TESTS)


@pytest.mark.parametrize(
    ("text", "ip"),
    [
        ("[2001:db8::1]:25000", "2001:db8::1"),
        ("[2001:db8:0:0::9]:25000", "2001:db8::9"),
        ("[::ffff:192.0.2.9]:25000", "192.0.2.9"),
    ],
)
def test_an_address_of_ipv6_is_canonical(text: str, ip: str) -> None:
    assert client(event(f"CONNECT from {text} to [2001:db8::2]:25")) == (ip, None, 25000)
    assert client(event(f"NOQUEUE: reject: RCPT from {text}: 550 5.5.1 Protocol error")) == (ip, None, 25000)


@pytest.mark.parametrize(
    "body",
    [
        rf"PREGREET 60 after 0 from {IT}: x from [203.0.113.9]:25: EHLO x\r\n",
        f"NON-SMTP COMMAND from {IT} after EHLO: Subject: foo from [203.0.113.9]:25",
        f"BARE NEWLINE from {IT} after BARE NEWLINE from [203.0.113.9]:25 after EHLO",
        f"COMMAND PIPELINING from {IT} after ?DENYLISTED: [203.0.113.9]:25",
        f"COMMAND TIME LIMIT from {IT} after x from [203.0.113.9]:25",
    ],
)
def test_text_that_a_client_types_frames_nobody(body: str) -> None:
    found = event(body)
    assert found["kind"] == "postscreen_event"
    assert client(found) == ("192.0.2.9", None, 34679)


def test_a_sample_is_cut_and_bytes_are_escaped() -> None:
    assert len(event(f"BARE NEWLINE from {IT} after " + "x" * 1900)["sample"]) == 256
    assert event(f"NON-SMTP COMMAND from {IT} after EHLO: \udcff")["sample"] == r"\xff"


def test_a_command_word_with_a_colon_is_no_part_of_the_sample() -> None:
    assert event(rf"COMMAND PIPELINING from {IT} after a:b:: rest: more\r\n")["sample"] == r"rest: more\r\n"


@pytest.mark.parametrize(
    "body",
    [
        "CONNECT from 192.0.2.9:34679 to [198.51.100.11]:25",
        f"CONNECT from {IT} to [198.51.100.11]:25 PASS NEW [203.0.113.9]:25",
        f"CONNECT from unknown{IT} to [198.51.100.11]:25",
        "PASS [192.0.2.9]:34679",
        "PASS NEW [192.0.2.9]",
        f"PASS NEW {IT} ",
        f"DENYLISTED from {IT}",
        f"NOQUEUE: DENYLISTED {IT}",
        f"HANGUP after soon from {IT} in tests before SMTP handshake",
        f"HANGUP after 1 from {IT} in tests",
        f"DNSBL rank high for {IT}",
        f"COMMAND SIZE LIMIT from {IT} after EHLO",
        f"EXPN without valid RCPT from {IT}",
        f"reject: RCPT from {IT}: 550 5.5.1 Protocol error",
        f"NOQUEUE: reject: RCPT from unknown{IT}: 550 5.5.1 Protocol error",
        f"NOQUEUE: reject: RCPT from {IT}: Protocol error",
        f"NOQUEUE: reject: CONNECT from {IT}: too many connections from [203.0.113.9]:25",
        f"NOQUEUE: reject: connect from {IT}: all screening ports busy",
        f"addr 192.0.2.9 listed by domain zen.example.net as 127.0.0.2 {IT}",
        "connect from unknown[192.0.2.9]",
    ],
)
def test_a_line_that_only_looks_like_postscreens_is_not_read(body: str) -> None:
    assert event(body)["kind"] == "unsupported"


TAIL = "; from=<a@example.com>, to=<b@example.org>, proto=ESMTP, helo=<mail.example.com>"


@pytest.mark.parametrize(
    ("reply", "category", "code", "enhanced", "text"),
    [
        ("550 5.5.1 Protocol error", "protocol", 550, "5.5.1", "Protocol error"),
        ("550 5.3.2 Service currently unavailable", "access", 550, "5.3.2", "Service currently unavailable"),
        ("521 5.3.2 Service currently unavailable", "access", 521, "5.3.2", "Service currently unavailable"),
        ("450 4.3.2 Service currently unavailable", "greylist", 450, "4.3.2", "Service currently unavailable"),
        (
            "550 5.7.1 Service unavailable; client [192.0.2.9] blocked using zen.example.net",
            "rbl", 550, "5.7.1", "Service unavailable; client [192.0.2.9] blocked using zen.example.net",
        ),
        ("521 5.7.1 Service unavailable; client [192.0.2.9] blocked using z", "rbl", 521, "5.7.1", None),
        ("554 No", "other", 554, None, "No"),
    ],
)  # fmt: skip
def test_a_refusal_has_all_its_parts(
    reply: str, category: str, code: int, enhanced: str | None, text: str | None
) -> None:
    found = event(f"NOQUEUE: reject: RCPT from {IT}: {reply}{TAIL}")
    assert (found["kind"], found["category"], client(found)) == ("rejected", category, ("192.0.2.9", None, 34679))
    assert (found["code"], found["enhanced_code"], found["temporary"]) == (code, enhanced, code < 500)
    assert (found["stage"], found["queue_id"], found["username"]) == ("RCPT", None, None)
    assert text is None or found["text"] == text
    assert (found["sender"], found["recipient"], found["ambiguous"]) == ("a@example.com", "b@example.org", False)
    assert (found["proto"], found["helo"]) == ("ESMTP", "mail.example.com")


@pytest.mark.parametrize("text", ["too many connections", "all server ports busy"])
def test_a_client_that_is_turned_away_is_a_matter_of_rates(text: str) -> None:
    found = event(f"NOQUEUE: reject: CONNECT from {IT}: {text}")
    assert (found["kind"], found["category"], found["stage"]) == ("rejected", "rate", "CONNECT")
    assert (found["text"], found["code"], client(found)) == (text, None, ("192.0.2.9", None, 34679))


HEAD = f"NOQUEUE: reject: RCPT from {IT}: "


@pytest.mark.parametrize(
    ("tail", "sender", "recipient", "helo", "ambiguous"),
    [
        ("; from=<>, to=<b@example.org>, proto=SMTP, helo=<w>", "", "b@example.org", "w", False),
        (
            '; from=<"a>, to=<b"@example.com>, to=<c@example.org>, proto=ESMTP, helo=<x>',
            '"a>, to=<b"@example.com', "c@example.org", "x", True,
        ),
        (
            "; from=<a>, to=<b@example.com>, to=<c@example.org>, proto=ESMTP, helo=<x>",
            "a", "b@example.com>, to=<c@example.org", "x", True,
        ),
        (
            "; from=<a; from=<b@example.com>, to=<c@example.org>, proto=ESMTP, helo=<x>",
            "a; from=<b@example.com", "c@example.org", "x", False,
        ),
        (
            "; from=<a@example.com>, to=<x>, proto=SMTP, helo=<y>>, proto=ESMTP, helo=<z>",
            "a@example.com", "x>, proto=SMTP, helo=<y>", "z", False,
        ),
        ("; from=<a@example.com>, to=<b@example.org>, proto=ESMTP, helo=<a>b>", "a@example.com", "b@example.org", "a>b",
         False),
        ("; from=<" + "a" * 1900, None, None, None, False),
        ("; from=<a@example.com>, to=<" + "b" * 1850, "a@example.com", None, None, True),
        ("; fro", None, None, None, False),
        ("", None, None, None, False),
    ],
)  # fmt: skip
def test_what_a_client_types_is_told_apart_or_said_to_be_ambiguous(
    tail: str, sender: str | None, recipient: str | None, helo: str | None, ambiguous: bool
) -> None:
    found = event(f"{HEAD}450 4.3.2 Service currently unavailable{tail}")
    assert (found["kind"], client(found)) == ("rejected", ("192.0.2.9", None, 34679))
    assert (found["sender"], found["recipient"], found["helo"]) == (sender, recipient, helo)
    assert found["ambiguous"] is ambiguous


@pytest.mark.parametrize(
    "typed",
    [
        "bare <LF> received",
        "x; from=<y>, to=<z>: blocked using zen.example.net",
        "x>, to=<y>, proto=SMTP, helo=<z> Relay access denied; from=<b",
        "x from [203.0.113.9]:25: 550 5.5.1 Protocol error; from=<c",
    ],
)
def test_a_client_cannot_type_itself_another_category_or_text(typed: str) -> None:
    found = event(f"{HEAD}450 4.3.2 Service currently unavailable; from=<{typed}>, to=<{typed}>, proto=SMTP, helo=<h>")
    assert (found["category"], found["text"]) == ("greylist", "Service currently unavailable")
    assert (client(found), found["helo"]) == (("192.0.2.9", None, 34679), "h")


@pytest.mark.parametrize(
    ("body", "problem", "subject"),
    [
        ("entering STRESS mode with 90 connections", "other", ""),
        ("warning: haproxy read: time limit exceeded", "other", "haproxy"),
        ("warning: psc_cache_update: btree:/var/lib/postfix/ps update average delay is 123 ms", "other",
         "btree:/var/lib/postfix/ps"),
        ("warning: dnsblog reply timeout 10s for zen.example.net", "other", "zen.example.net"),
        ("warning: cannot connect to service private/smtpd: Connection refused", "ipc_error", "private/smtpd"),
        ("warning: timeout sending connection to service private/smtpd", "ipc_error", "private/smtpd"),
        ("warning: psc_dnsbl_request: connect to private/dnsblog service: No such file or directory", "ipc_error",
         "private/dnsblog"),
        ("warning: connect to private/tlsproxy service: Connection refused", "ipc_error", "private/tlsproxy"),
        ("warning: timeout receiving status from tlsproxy service", "ipc_error", "tlsproxy"),
        ("warning: problem receiving status from tlsproxy service", "ipc_error", "tlsproxy"),
    ],
)  # fmt: skip
def test_trouble_of_postscreens_own(body: str, problem: str, subject: str) -> None:
    found = event(body)
    assert (found["kind"], found["problem"], found["subject"]) == ("service_health", problem, subject)
    assert found["text"] == body.removeprefix("warning: ")


@pytest.mark.parametrize(
    "body",
    [
        "leaving STRESS mode with 70 connections",
        "cache btree:/var/lib/postfix/postscreen_cache full cleanup: retained=12 dropped=3 entries",
        "discarding EHLO keywords: CHUNKING",
        # A scanner that leaves at once must not look like trouble of ours.
        "warning: getpeername: Transport endpoint is not connected -- dropping this connection",
    ],
)
def test_lines_in_which_nothing_is_to_be_counted(body: str) -> None:
    found = event(body)
    assert (found["kind"], found["text"]) == ("housekeeping", body.removeprefix("warning: "))


@pytest.mark.parametrize("ip", ["192.0.2.9", "2001:db8::9"])
def test_dnsblog_names_the_listed_address(ip: str) -> None:
    found = event(f"addr {ip} listed by domain zen.example.net as 127.0.0.4", "dnsblog")
    assert (found["kind"], client(found)) == ("dnsbl_listed", (ip, None, None))
    assert (found["zone"], found["reply"]) == ("zen.example.net", "127.0.0.4")


def test_a_list_that_refuses_our_resolver_lists_nobody() -> None:
    found = event("addr 192.0.2.9 listed by domain zen.example.net as 127.255.255.254", "dnsblog")
    assert (found["kind"], found["problem"], found["subject"]) == ("service_health", "other", "zen.example.net")
    assert "client_ip" not in found


@pytest.mark.parametrize("name", ["9.2.0.192.", "9." + "0." * 23 + "8.b.d.0.1.0.0.2.", ""])
def test_a_failed_lookup_is_about_the_list_and_not_about_the_client(name: str) -> None:
    body = f"warning: dnsblog_query: lookup error for DNS query {name}zen.example.net: Host not found, try again"
    found = event(body, "dnsblog")
    assert (found["kind"], found["problem"], found["subject"]) == ("service_health", "other", "zen.example.net")
    assert "client_ip" not in found


@pytest.mark.parametrize(
    "body",
    [
        "addr 192.0.2.9 listed by domain zen.example.net as listed",
        "addr zen.example.net listed by domain zen.example.net as 127.0.0.2",
        f"DNSBL rank 3 for {IT}",
    ],
)
def test_a_line_that_only_looks_like_dnsblogs_is_not_read(body: str) -> None:
    assert event(body, "dnsblog")["kind"] == "unsupported"


@pytest.mark.parametrize(
    "body",
    [
        f"{HEAD}450 4.3.2 x" + "; from=<" * 240,
        f"{HEAD}450 4.3.2 x; from=<" + ">, to=<" * 270,
        f"{HEAD}450 4.3.2 x; from=<" + ">, proto=SMTP, helo=<" * 90,
        f"{HEAD}450 4.3.2 x; from=<" + '"\\' * 900 + ">, to=<" * 20,
        f"COMMAND PIPELINING from {IT} after " + ": " * 950,
        f"COMMAND PIPELINING from {IT} after " + ":" * 1900,
        "warning: psc_a: " + "a: " * 600,
    ],
)
def test_hostile_lines_are_read_as_fast_as_others(body: str) -> None:
    before = time.process_time()
    for _ in range(20):
        event(body)
    assert time.process_time() - before < 1
