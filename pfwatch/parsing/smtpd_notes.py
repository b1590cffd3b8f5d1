"""smtpd: what it could not look up, and what nobody counts.

Enters: match objects. Leaves: events and rules. This file must never know a client: where one stands in these lines, it
is not what they are about, and a domain in them may have been typed by anybody.
"""

from pfwatch.parsing.fragments import CLIENT, QUEUE_ID
from pfwatch.parsing.rule import Rule
from pfwatch.parsing.trouble import health, housekeeping

_HEAD = "Nov 22 09:53:31 mx1 postfix/smtpd[229]: "

NOTES: tuple[Rule, ...] = (
    Rule(
        name="smtpd-haproxy",
        since="2.10",
        example=f"{_HEAD}warning: haproxy read: timeout error",
        pattern=r"warning: (?:(?P<subject>haproxy) read: |missing client address from proxy).*",
        words=("warning",),
        build=health("other"),
        source="smtpd/smtpd_haproxy.c: smtpd_peer_from_haproxy",
    ),
    Rule(
        name="smtpd-server-lookup",
        since="2.10",
        example=f"{_HEAD}warning: Unable to look up MX host mx.example.net for Sender address a@example.com: "
        "Host not found",
        pattern=r"warning: Unable to look up [A-Z]++ host .*",
        words=("warning",),
        build=housekeeping("server_lookup"),
        source="smtpd/smtpd_check.c: check_server_access",
    ),
    Rule(
        name="smtpd-blocklist-lookup",
        since="2.10",
        example=f"{_HEAD}warning: 7.2.0.192.zen.example.net: RBL lookup error: Host or domain name not found. "
        "Name service error for name=7.2.0.192.zen.example.net type=A: Host not found, try again",
        pattern=r"warning: [^ ]+: (?:RBL|TXT) lookup error: .*",
        words=("warning",),
        build=health("other"),  # the name begins with the client's address or a domain that it typed
        source="smtpd/smtpd_check.c: find_dnsxl",
    ),
    Rule(
        name="smtpd-malformed-dns",
        since="2.10",
        example=f"{_HEAD}warning: numeric domain name in resource data of MX record for example.net: 192.0.2.1",
        pattern=r"warning: (?:malformed|numeric) domain name in resource data of [A-Z0-9]++ record for .*",
        words=("warning",),
        build=housekeeping("malformed_dns"),
        source="dns/dns_lookup.c: valid_rr_name",
    ),
    Rule(
        name="smtpd-address-family",
        since="2.10",
        example=f"{_HEAD}warning: skipping address family 10 for host mail.example.net",
        pattern=r"(?:warning: )?skipping address family [0-9]++ for host .*",
        words=("skipping", "warning"),
        build=housekeeping("address_family"),
        source="smtpd/smtpd_peer.c: smtpd_peer_sockaddr_to_hostname",
    ),
    Rule(
        name="smtpd-input-disabled",
        since="3.10",
        example=f"{_HEAD}warning: disabling input from 192.0.2.1:submission socket",
        pattern=r"warning: disabling input from [^ ]++ socket",  # our end; `request longer than` follows
        words=("warning",),
        build=housekeeping("input_disabled"),
        source="smtpd/smtpd_chat.c: smtpd_chat_query",
    ),
    Rule(
        name="smtpd-no-flush-service",
        since="2.10",
        example=f"{_HEAD}warning: unable to talk to fast flush service",
        pattern=r"warning: unable to talk to fast (?P<subject>flush) service",
        words=("warning",),
        build=health("ipc_error"),
        source="smtpd/smtpd.c: etrn_cmd",
    ),
    Rule(
        name="smtpd-reply-filter",
        since="3.11",
        example=f"{_HEAD}NOQUEUE: reply filter in: 550 5.7.1 <b@example.org>: Recipient address rejected: no",
        pattern=rf"{QUEUE_ID}: reply filter (?:in|out): .*",
        words=("reply",),
        build=housekeeping("reply_filter"),
        source="smtpd/smtpd_chat.c: smtpd_chat_reply",
    ),
    Rule(
        name="smtpd-reply-filter-invalid",
        since="3.11",
        example=f"{_HEAD}warning: NOQUEUE: ignoring invalid reject filter result: hello",
        pattern=r"warning: [^ ]+: ignoring invalid reject filter result: .*",
        words=("warning",),
        build=health("config_warning"),
        source="smtpd/smtpd_chat.c: smtpd_chat_reply",
    ),
)

NAMED: tuple[Rule, ...] = (
    Rule(
        name="smtpd-command-filter",
        since="2.10",
        example=f'{_HEAD}unknown[192.0.2.9]: replacing command "HELO?x" with "HELO x"',
        pattern=rf"{CLIENT}: replacing command .*",
        words=("",),
        build=housekeeping("command_filter"),
        source="smtpd/smtpd.c: smtpd_proto",
    ),
    Rule(
        name="smtpd-reply-filter-client",
        since="3.11",
        example=f"{_HEAD}unknown[192.0.2.9]: reply filter out: 550 5.7.1 no",
        pattern=rf"{CLIENT}: reply filter (?:in|out): .*",
        words=("",),
        build=housekeeping("reply_filter"),
        source="smtpd/smtpd_chat.c: smtpd_chat_reply",
    ),
)
"""Lines of smtpd that begin with the client: no first word finds them."""
