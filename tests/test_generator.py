"""The log generator: its lines, its truth, and whether the days it makes up could have happened."""

import re
from collections import Counter
from typing import Any, get_args

import pytest

from tests.bench.counted import mismatches
from tests.bench.generate import Form, Mix, Truth, generate

LINES = 15_000
BSD_HEADER = re.compile(r"[A-Z][a-z]{2} [ 123]\d \d\d:\d\d:\d\d mx1 ")
ISO_HEADER = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00 mx1 ")
# One naive pattern for each kind, on the body; written here a second time on purpose.
NAIVE = {
    "client_connected": r"smtpd\[\d+\]: connect from ",
    "client_disconnected": r"smtpd\[\d+\]: disconnect from ",
    "session_aborted": r"smtpd\[\d+\]: (?:lost connection|too many errors) after ",
    "auth_failed": r"smtpd\[\d+\]: warning: \S+: SASL \S+ authentication failed",
    "relay_denied": r"NOQUEUE: reject: .*Relay access denied",
    "rejected": r"NOQUEUE: reject: (?!.*Relay access denied)",
    "tls_failed": r"smtpd\[\d+\]: SSL_accept error from ",
    "tls_detail": r"smtpd\[\d+\]: warning: TLS library problem",
    "tls_established": r"(?:Anonymous|Trusted) TLS connection established (?:from|to) ",
    "rate_limited": r"limit exceeded: \d+ from ",
    "rate_peak": r"anvil\[\d+\]: statistics: ",
    "dns_mismatch": r"warning: hostname \S+ does not resolve ",
    "dnsbl_listed": r"dnsblog\[\d+\]: addr ",
    "postscreen_event": r"postscreen\[\d+\]: (?:CONNECT|PASS|DNSBL|DISCONNECT) ",
    "message_accepted": r"smtpd\[\d+\]: \w+: client=|pickup\[\d+\]: \w+: uid=",
    "message_identified": r"cleanup\[\d+\]: \w+: message-id=<",
    "message_queued": r"\(queue active\)$",
    "message_removed": r"qmgr\[\d+\]: \w+: removed$",
    "delivery": r", status=(?:sent|deferred|bounced) \(",
    "delivery_attempted": r"smtp\[\d+\]: connect to ",
    "notified": r"bounce\[\d+\]: ",
}
SECURITY = re.compile(
    r"authentication failed|NOQUEUE: reject|SSL_accept error|TLS library problem|limit exceeded: \d+ from"
)
REFUSAL_TEXTS = {
    "unknown_user": "User unknown", "rbl": "blocked using", "helo": "Helo command rejected", "size": "Message size",
    "greylist": "Greylisted", "sender_domain": "Domain not found", "access": "Access denied",
    "client_dns": "cannot find",
}  # fmt: skip


def write(lines: int = LINES, mix: Mix = "normal", seed: int = 1, form: Form = "bsd", **options: Any) -> bytes:
    return b"".join(generate(lines, mix, seed, form, **options))


def bodies(log: bytes, header: re.Pattern[str] = BSD_HEADER) -> list[str]:
    found = []
    for line in log.decode("ascii").splitlines():
        match = header.match(line)
        assert match, line
        found.append(line[match.end() :])
    return found


def sessions_by_process(log: bytes) -> dict[str, list[str]]:
    """Every smtpd process and its lines in order; the tag without `postfix/`, the body after it."""
    found: dict[str, list[str]] = {}
    for body in bodies(log):
        tag, _, text = body.partition(": ")
        if "smtpd[" in tag:
            found.setdefault(tag, []).append(text)
    return found


@pytest.mark.parametrize("lines", [1, 99, 100, 101, 5_003])
@pytest.mark.parametrize("mix", get_args(Mix))
def test_a_log_has_exactly_the_lines_asked_for(lines: int, mix: Mix) -> None:
    truth = Truth()
    log = write(lines, mix, truth=truth)
    assert log.count(b"\n") == lines
    assert log.endswith(b"\n")
    assert truth.lines == lines


def test_chunks_are_whole_lines_of_about_64_kib() -> None:
    chunks = list(generate(LINES))
    assert len(chunks) > 10
    assert all(chunk.endswith(b"\n") for chunk in chunks)
    assert all(64 * 1024 <= len(chunk) < 128 * 1024 for chunk in chunks[:-1])


def test_the_same_seed_writes_the_same_bytes_and_another_seed_does_not() -> None:
    assert write(seed=7) == write(seed=7)
    assert write(seed=7) != write(seed=8)


def test_both_forms_of_the_header_carry_the_same_bodies() -> None:
    assert bodies(write(form="bsd")) == bodies(write(form="iso"), ISO_HEADER)


@pytest.mark.parametrize("rate", [1, 50, 5_000])
def test_time_never_goes_back_and_keeps_to_the_rate(rate: int) -> None:
    stamps = [line[:26] for line in write(form="iso", rate=rate).decode("ascii").splitlines()]
    assert stamps == sorted(stamps)
    seconds = len({stamp[:19] for stamp in stamps})
    assert 0.8 * LINES / rate - 1 <= seconds <= 1.2 * LINES / rate + 1


@pytest.mark.parametrize(("mix", "least", "most"), [("normal", 0.06, 0.10), ("attack", 0.75, 0.85)])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_mix_holds_its_share_of_security_events(mix: Mix, least: float, most: float, seed: int) -> None:
    truth = Truth()
    found = sum(bool(SECURITY.search(body)) for body in bodies(write(mix=mix, seed=seed, truth=truth)))
    assert least <= found / LINES <= most
    assert found == truth.security_lines


@pytest.mark.parametrize("mix", get_args(Mix))
@pytest.mark.parametrize("long_ids", [0.0, 0.5])
def test_every_line_is_in_the_truth_under_the_kind_that_a_naive_count_finds(mix: Mix, long_ids: float) -> None:
    truth = Truth()
    log = bodies(write(mix=mix, long_ids=long_ids, truth=truth))
    counted: Counter[str] = Counter()
    for body in log:
        kinds = [kind for kind, pattern in NAIVE.items() if re.search(pattern, body)]
        assert len(kinds) == (0 if body.startswith("dovecot: ") else 1), (kinds, body)
        counted.update(kinds)
    assert counted == truth.kinds
    assert counted.total() + truth.foreign == LINES


@pytest.mark.parametrize("mix", get_args(Mix))
def test_the_truth_by_client_account_category_and_status_adds_up(mix: Mix) -> None:
    truth = Truth()
    text = write(mix=mix, truth=truth).decode("ascii")
    failed = re.findall(r"warning: \S+\[(\S+)\]: SASL \S+ authentication failed: (?:.*sasl_username=(\S+))?", text)
    assert Counter(address for address, _ in failed) == truth.auth_failed_by_client
    assert Counter(account for _, account in failed if account) == truth.auth_failed_by_account
    denied = re.findall(r"reject: RCPT from \S+\[(\S+)\]: .*Relay access denied", text)
    assert Counter(denied) == truth.relay_denied_by_client
    assert Counter(re.findall(r"SSL_accept error from \S+\[(\S+)\]:", text)) == truth.tls_failed_by_client
    refused = [line for line in text.splitlines() if "NOQUEUE: reject: " in line]
    by_text = {name: sum(wording in line for line in refused) for name, wording in REFUSAL_TEXTS.items()}
    assert by_text == truth.rejected_by_category
    assert Counter(re.findall(r", status=(\w+) \(", text)) == truth.deliveries_by_status


@pytest.mark.parametrize("mix", get_args(Mix))
def test_a_process_serves_one_client_after_the_other(mix: Mix) -> None:
    processes = sessions_by_process(write(mix=mix))
    assert len(processes) > 50
    for texts in processes.values():
        client = None
        for text in texts:
            if text.startswith("connect from "):
                assert client is None, text
                client = text.removeprefix("connect from ")
            elif "TLS library problem" in text or "does not resolve" in text:
                assert (client is None) == ("resolve" in text), text
            else:
                assert client is not None, text
                assert client in text
            if text.startswith("disconnect from "):
                client = None
        assert client is None


def test_what_a_session_did_agrees_with_its_disconnect_line() -> None:
    for texts in [*sessions_by_process(write()).values(), *sessions_by_process(write(mix="attack")).values()]:
        failed = accepted = refused = 0
        for text in texts:
            failed += "authentication failed" in text
            accepted += ": client=" in text
            refused += "reject: RCPT" in text
            if text.startswith("disconnect from "):
                pairs = re.findall(r" (\w+)=(\d+)(?:/(\d+))?", text)
                sums = {name: (int(good), int(of or good)) for name, good, of in pairs}
                good, tried = sums.pop("commands")
                assert (good, tried) == tuple(map(sum, zip((0, 0), *sums.values(), strict=True)))
                assert sums.get("data", (0, 0)) == (accepted, accepted)
                for name, bad in (("auth", failed), ("rcpt", refused)):
                    ok, of = sums.get(name, (0, 0))
                    assert of - ok == bad, text
                failed = accepted = refused = 0


def test_a_message_goes_from_smtpd_to_removed_and_its_queue_id_is_its_own() -> None:
    story: dict[str, list[str]] = {}
    for body in bodies(write(60_000, long_ids=0.3)):
        match = re.fullmatch(r"postfix/(?:\w+/)?(\w+)\[\d+\]: (?=\w*\d)(\w{10,}): (.*)", body)
        if match and match[2] != "NOQUEUE":
            story.setdefault(match[2], []).append(f"{match[1]} {match[3]}")
    again = 0
    for lines in story.values():
        words = [line.split()[0] for line in lines]
        assert words[0] in {"smtpd", "pickup", "cleanup"}
        assert words.count("qmgr") >= 1
        assert sum(line.startswith(("smtpd client=", "pickup uid=")) for line in lines) == (words[0] != "cleanup")
        activations = sum("(queue active)" in line for line in lines)
        again += activations - 1
        waiting = "status=deferred" in "".join(lines[-3:])
        assert (lines[-1] == "qmgr removed") != waiting, lines
    assert again > 0, "no deferred message was tried again"
    assert any(re.fullmatch(r"[0-9A-F]+", queue_id) for queue_id in story)
    assert any(re.fullmatch(r"\w{10}z\w+", queue_id) for queue_id in story)


def test_addresses_and_names_are_those_set_aside_for_documentation() -> None:
    text = write(mix="attack").decode("ascii")
    addresses = re.findall(r"\[([0-9a-f]+[.:][0-9a-f.:]+)\]", text)
    assert len(set(addresses)) > 500
    assert all(a.startswith(("192.0.2.", "198.51.100.", "203.0.113.", "2001:db8:")) for a in addresses)
    assert all(name.endswith(("example.org", "example.net")) for name in re.findall(r"@([a-z.]+)", text))


def test_the_number_of_distinct_clients_is_bounded_by_what_was_asked() -> None:
    text = write(mix="attack", distinct_clients=10).decode("ascii")
    assert len(set(re.findall(r"connect from (\S+)", text))) == 10


def test_a_report_that_differs_from_the_truth_is_said_number_by_number() -> None:
    truth = {"lines": 10, "foreign": 2, "kinds": {"auth_failed": 5, "tls_failed": 2, "tls_detail": 1}}
    lines = {"total": 10, "events": 7, "tallied": 0, "parts": 1, "foreign": 2, "unsupported": 0, "malformed": 0}
    report = {"lines": lines, "counts": {"auth_failed": 5, "tls_failed": 2}}
    assert mismatches(report, truth) == []
    report = {
        "lines": {**lines, "unsupported": 1, "events": 6},
        "counts": {"auth_failed": 4, "tls_failed": 2, "new": 1},
    }
    assert mismatches(report, truth) == [
        "MISMATCH lines.events + lines.tallied: reported 6, true 7",
        "MISMATCH lines.unsupported: reported 1, true 0",
        "MISMATCH counts.auth_failed: reported 4, true 5",
        "MISMATCH counts.new: reported 1, true 0",
    ]
    assert "MISMATCH lines.total: reported None, true 10" in mismatches({}, truth)
