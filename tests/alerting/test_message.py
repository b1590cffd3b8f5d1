"""The mail that an administrator gets: its words, its headers, and what hostile text cannot do to it."""

import os
import re
import tomllib
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from html.parser import HTMLParser
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pfwatch.alerting.channels.templates import TemplateError, load_templates
from pfwatch.alerting.message import compose
from pfwatch.alerting.moments import duration
from pfwatch.alerting.notification import Notification
from pfwatch.alerting.visible import visible
from tests.alerting import stories

GOLDEN = Path(__file__).parent / "golden"
TEMPLATES = load_templates()
BERLIN = ZoneInfo("Europe/Berlin")


def mail_about(told: Notification, sender: str = "pfwatch@mx1.example.org") -> EmailMessage:
    """The mail as its reader's program sees it, after a journey as bytes."""
    sent = compose(told, TEMPLATES, sender=sender, recipients=["postmaster@example.org"], time_zone=BERLIN)
    return message_from_bytes(sent.as_bytes(), policy=default)


def part(mail: EmailMessage, kind: str) -> str:
    body = mail.get_body((kind,))
    assert body is not None
    return str(body.get_content()).replace("\r\n", "\n")


STORIES = {
    "bruteforce": stories.notification(stories.bruteforce()),
    "grouped": stories.grouped(),
    "digest": stories.digest(),
    "relay-probe-grew": stories.notification(stories.relay_probe(), reason="grew", id="relay-probe-grew-2"),
    "tls-repeat": stories.notification(stories.tls_failures(), reason="repeat", at=stories.NINE + 90_000),
    "bruteforce-resolved": stories.notification(stories.bruteforce(ended=stories.NINE + 1300.0), reason="resolved"),
    "overflow": stories.notification(reason="overflow", suppressed=14),
    "other-rule": stories.notification(stories.bruteforce(rule="recipient-harvest", tops={}, distinct={}, chart=[])),
}


@pytest.mark.parametrize("name", STORIES)
def test_the_text_part_reads_word_for_word_as_the_golden_file(name: str) -> None:
    """PFWATCH_GOLDEN=write writes the files anew; read the difference before committing it."""
    text = part(mail_about(STORIES[name]), "plain")
    path = GOLDEN / f"{name}.txt"
    if os.environ.get("PFWATCH_GOLDEN") == "write":
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", STORIES)
def test_prose_fits_a_terminal_of_76_columns(name: str) -> None:
    text = part(mail_about(STORIES[name]), "plain")
    commands_and_addresses = re.compile(r"^ {6}(sudo|postconf|echo|  -Y)|docs/reference")
    assert [line for line in text.splitlines() if len(line) > 76 and not commands_and_addresses.search(line)] == []


@pytest.mark.parametrize("name", STORIES)
def test_the_same_notification_gives_the_same_bytes(name: str) -> None:
    first, second = (
        compose(STORIES[name], load_templates(), sender="a@example.org", recipients=["b@example.org"], time_zone=BERLIN)
        for _ in range(2)
    )
    assert first.as_bytes() == second.as_bytes()


@pytest.mark.parametrize("name", STORIES)
def test_the_html_part_has_no_scripts_images_links_or_style_sheets(name: str) -> None:
    tags, attributes = elements(part(mail_about(STORIES[name]), "html"))
    assert tags <= {
        *("html", "head", "meta", "title", "body", "table", "tr", "td", "div", "p", "b", "span", "br"),
    }
    assert not {name for name in attributes if name.startswith("on") or name in ("src", "href")}


def elements(html: str) -> tuple[set[str], set[str]]:
    tags: set[str] = set()
    attributes: set[str] = set()

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            tags.add(tag)
            attributes.update(name for name, _ in attrs)

    reader = Reader()
    reader.feed(html)
    reader.close()
    return tags, attributes


def test_headers_keep_autoresponders_quiet_and_let_filters_sort() -> None:
    mail = mail_about(stories.notification(stories.bruteforce()))
    assert mail["From"] == "pfwatch <pfwatch@mx1.example.org>"
    assert mail["To"] == "postmaster@example.org"
    assert mail["Date"] == "Sun, 22 Nov 2026 10:04:35 +0100"
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail["X-Auto-Response-Suppress"] == "All"
    assert (mail["X-Pfwatch-Rule"], mail["X-Pfwatch-Host"]) == ("auth-bruteforce", "mx1.example.org")
    assert mail["In-Reply-To"] is None


def test_a_later_mail_joins_the_thread_of_the_first_even_when_its_id_is_long() -> None:
    host = "a-host-with-a-really-long-name.in.a.long.domain.example.org"
    first = stories.notification(stories.bruteforce(), host=host)
    later = stories.notification(stories.bruteforce(), host=host, reason="grew", id="second", subject_line="größer")
    sent = compose(later, TEMPLATES, sender="a@example.org", recipients=["b@example.org"], time_zone=BERLIN)
    identity = str(mail_about(first)["Message-ID"])
    assert identity == f"<pfwatch.{first.id}@{host}>"
    assert re.search(rf"^References:\s+{re.escape(identity)}\r$", sent.as_bytes().decode(), re.MULTILINE)
    assert mail_about(later)["In-Reply-To"] == identity


@pytest.mark.parametrize(
    ("host", "sender", "domain"),
    [
        ("mx1", "pfwatch@example.org", "example.org"),
        ("mx1.example.net", "pfwatch@example.org", "mx1.example.net"),
        ("x>\r\nBcc: <y.example.net", "pfwatch@localhost", "pfwatch.invalid"),
    ],
)
def test_the_message_id_has_a_domain_whatever_the_host_is_called(host: str, sender: str, domain: str) -> None:
    assert str(mail_about(stories.notification(host=host, reason="overflow"), sender)["Message-ID"]).endswith(
        f"@{domain}>"
    )


HOSTILE = {
    "header": "alice\r\nBcc: victim@example.net\r\n\r\nbody",
    "script": "<script>alert(1)</script><img src=x onerror=alert(1)>",
    "attribute": '"><a href="https://example.net/">click</a>',
    "bidi": "alice\u202egro.elpmaxe\u2066\u200b\ufeff",
    "controls": "\x00\x07\x1b[31mred\x1b[0m\x85\x9b\x7f",
    "template": "{{ 1234567 * 7 }} {% raw %} {subject} %s ${IFS}",
    "shell": "$(reboot) `reboot` ; reboot | reboot 'x",
    "long": "A" * 10_000,
    "lone surrogate": "\udc80\ud800",
    "tower": "a" + "\u0301" * 500,
}


def hostile_story(text: str) -> Notification:
    tops = {name: [(text, 68), (text + "2", 1)] for name in ("account", "client", "client_name", "recipient", "error")}
    incident = stories.bruteforce(tops=tops, distinct=dict.fromkeys(tops, 2), evidence=[text], host=text)
    probe = stories.relay_probe(tops=tops, distinct={})
    return stories.notification(incident, probe, host=text, subject_line=f"[mx1] {text}")


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_hostile_text_does_nothing(text: str) -> None:
    harmless = mail_about(stories.grouped())
    mail = mail_about(hostile_story(text))
    assert set(mail.keys()) == set(harmless.keys())
    assert len(mail["Subject"]) <= 200
    plain, html = part(mail, "plain"), part(mail, "html")
    assert [character for character in plain + html if not character.isprintable() and character != "\n"] == []
    assert elements(html)[0] <= elements(part(harmless, "html"))[0]
    assert "A" * 300 not in plain.replace("\n", "").replace(" ", "")
    assert "8641969" not in plain + html
    commands = [line for line in plain.splitlines() if line.startswith("      ") and "sudo" in line]
    assert commands
    assert not [line for line in commands if "reboot" in line or "alice" in line]


@given(st.text(max_size=300))
@settings(max_examples=200, deadline=None)
def test_no_text_hides_or_breaks_a_line_when_it_is_made_visible(text: str) -> None:
    shown = visible(text)
    assert shown.isprintable()
    assert len(shown) <= 256


@given(st.text(max_size=60))
@settings(max_examples=25, deadline=None)
def test_any_text_anywhere_still_gives_a_mail_that_can_be_sent(text: str) -> None:
    sent = compose(
        hostile_story(text), TEMPLATES, sender="a@example.org", recipients=["b@example.org"], time_zone=BERLIN
    )
    raw = sent.as_bytes()
    assert raw.isascii()
    assert max(len(line) for line in raw.split(b"\r\n")) < 998


@pytest.mark.parametrize("subject", ["192.0.2.7; reboot", "$(reboot)", "192.0.2.7/24", "fe80::1%$(reboot)", ""])
def test_no_command_is_built_from_what_is_not_an_address(subject: str) -> None:
    tops = {"client": [("$(reboot)", 5), ("198.51.100.1", 2)]}
    for rule in ("auth-bruteforce", "relay-probe", "tls-client-failures", "unheard-of"):
        told = stories.notification(stories.bruteforce(rule=rule, subject=subject, tops=tops, evidence=[]))
        text = part(mail_about(told), "plain")
        advice = text[text.index("WHAT TO DO") :]
        assert "reboot" not in advice
        assert "198.51.100.1" not in advice
        assert "sudo nft" not in advice


def test_commands_name_the_family_and_the_busiest_addresses_of_a_network() -> None:
    text = part(mail_about(stories.grouped()), "plain")
    assert "sudo nft insert rule inet filter input ip6 saddr 2001:db8:1:2::/64 drop" in text
    assert r"client=[^ ]*\[(2001:db8:1:2::5|2001:db8:1:2:aa::1)\]" in text


def test_an_address_outside_the_subject_is_not_searched_for() -> None:
    tops = {"client": [("203.0.113.99", 9), ("198.51.100.3", 2)]}
    text = part(mail_about(stories.notification(stories.bruteforce(subject="198.51.100.0/24", tops=tops))), "plain")
    assert r"\[(198\.51\.100\.3)\]" in text
    assert r"203\.0\.113\.99" not in text


def test_the_search_finds_the_login_it_looks_for_and_not_the_failures() -> None:
    text = part(mail_about(stories.notification(stories.bruteforce())), "plain")
    found = re.search(r"zgrep -hE '(.*)' /var", text)
    assert found is not None
    login = "4XyZ: client=unknown[192.0.2.7], sasl_method=LOGIN, sasl_username=alice@example.org"
    assert re.search(found[1], login)
    assert not re.search(found[1], login.replace("192.0.2.7", "192.0.217"))
    assert not any(re.search(found[1], line) for line in stories.bruteforce().evidence)


def test_the_lines_that_silence_it_are_toml_that_can_be_pasted() -> None:
    text = part(mail_about(stories.notification(stories.bruteforce())), "plain")
    lines = [line for line in text[text.index("[[alerts.silence]]") :].splitlines() if line.strip()]
    silence = tomllib.loads("\n".join(lines[:4]))["alerts"]["silence"][0]
    assert (silence["rule"], silence["subject"]) == ("auth-bruteforce", "192.0.2.7")
    assert silence["until"].isoformat() == "2026-11-29T09:04:35+00:00"


def test_a_thousand_different_accounts_are_said_to_be_a_lower_bound() -> None:
    accounts = [(f"user{index}", 3) for index in range(20)]
    told = stories.notification(stories.bruteforce(tops={"account": accounts}, distinct={"account": 1000}))
    text = " ".join(part(mail_about(told), "plain").split())
    assert "as at least 1,000 different accounts" in text
    assert "and at least 990 more" in text


def test_of_accounts_that_found_no_room_a_lower_bound_is_told() -> None:
    accounts = [(f"user{index}", 3) for index in range(2)]
    fields = {"account": accounts, "recipient": []}
    distinct = {"account": 7, "recipient": 4}
    told = stories.notification(stories.bruteforce(tops=fields, distinct=distinct, incomplete=("account", "recipient")))
    text = " ".join(part(mail_about(told), "plain").split())
    assert "as at least 7 different accounts" in text
    assert "and at least 5 more" in text
    assert "RECIPIENTS at least 4; there was no room to keep any of them" in text


def test_more_incidents_than_a_mail_holds_are_counted() -> None:
    told = stories.notification(*(stories.tls_failures() for _ in range(70)), reason="digest")
    assert "and 20 more" in part(mail_about(told), "plain")


def test_the_colour_is_that_of_the_most_severe() -> None:
    told = stories.notification(stories.bruteforce(severity="critical"))
    assert "border-left:5px solid #b42318" in part(mail_about(told), "html")


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0 s"), (59.4, "59 s"), (59.6, "1 min"), (3599, "1 h"), (7500, "2 h 5 min"), (273_600, "3 d 4 h")],
)
def test_durations_are_short(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_an_own_template_takes_the_place_of_the_shipped_one(tmp_path: Path) -> None:
    (tmp_path / "incident.txt.j2").write_text("Hello from {{ view.host }}: {{ view.lead.summary }}\n")
    templates = load_templates(tmp_path)
    mail = compose(
        STORIES["bruteforce"], templates, sender="a@example.org", recipients=["b@example.org"], time_zone=BERLIN
    )
    assert part(mail, "plain").startswith("Hello from mx1.example.org: 192.0.2.7 failed")
    assert "What to do" in part(mail, "html")


@pytest.mark.parametrize(
    "text", ["{{ view.unknown }}", "{{ ''.__class__.__mro__ }}", "{{ 1 / 0 }}", "{% include 'nowhere' %}"]
)
def test_an_own_template_that_fails_never_costs_the_alert(tmp_path: Path, text: str) -> None:
    (tmp_path / "incident.txt.j2").write_text(text)
    mail = compose(
        STORIES["bruteforce"],
        load_templates(tmp_path),
        sender="a@example.org",
        recipients=["b@example.org"],
        time_zone=BERLIN,
    )
    plain = part(mail, "plain")
    assert plain.startswith("192.0.2.7 failed to log in")
    assert "Your own templates could not be used for incident.txt.j2" in plain


def test_a_template_that_is_none_is_refused_at_the_start_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "incident.txt.j2").write_text("fine\n{% if %}\n")
    with pytest.raises(TemplateError, match=r"incident\.txt\.j2:2: "):
        load_templates(tmp_path)


def test_a_template_with_a_misspelt_name_is_refused(tmp_path: Path) -> None:
    (tmp_path / "incidents.txt.j2").write_text("x")
    with pytest.raises(TemplateError, match=r"incidents\.txt\.j2: no mail is made from a template of this name"):
        load_templates(tmp_path)


def test_a_missing_directory_of_templates_is_named(tmp_path: Path) -> None:
    with pytest.raises(TemplateError, match=r"nowhere: No such file or directory"):
        load_templates(tmp_path / "nowhere")
