"""How postscreen itself is doing, and what dnsblog found in the DNS block lists.

Enters: match objects. Leaves: events and rules; `postscreen` has what is about clients. This file must never know a
session.
"""

import re
from typing import Final

from pfwatch.events import Client, DnsblListed, Envelope
from pfwatch.parsing.fragments import address
from pfwatch.parsing.rule import Plain, Rule
from pfwatch.parsing.trouble import health, housekeeping


def _listed(envelope: Envelope, found: re.Match[bytes]) -> DnsblListed:
    who = Client(address(found["ip"]), None, None)
    return DnsblListed(envelope, who, found["zone"].decode("utf-8", "backslashreplace"), found["reply"].decode())


_HEAD = "Nov 22 10:27:54 mx1 postfix/postscreen[767]: "

STATE: Final = (
    Rule(
        name="postscreen-stress-begins",
        since="2.10",
        example=f"{_HEAD}entering STRESS mode with 90 connections",
        pattern=r"entering STRESS mode(?: with [0-9]++ connections)?",
        words=("entering",),
        build=health("other"),
        source="postscreen/postscreen_state.c: psc_new_session_state",
    ),
    Rule(
        name="postscreen-stress-ends",
        since="2.10",
        example=f"{_HEAD}leaving STRESS mode with 70 connections",
        pattern=r"leaving STRESS mode(?: with [0-9]++ connections)?",
        words=("leaving",),
        build=housekeeping("stress"),
        source="postscreen/postscreen_state.c: psc_free_session_state",
    ),
    Rule(
        name="postscreen-cache-cleanup",
        since="2.10",
        example=f"{_HEAD}cache btree:/var/lib/postfix/postscreen_cache full cleanup: retained=12 dropped=3 entries",
        pattern=r"cache [^ ]++ (?:full|partial) cleanup: retained=[0-9]++ dropped=[0-9]++ entries",
        words=("cache",),
        build=housekeeping("cache_cleanup"),
        source="util/dict_cache.c: dict_cache_clean_stat_log_reset",
    ),
    Rule(
        name="postscreen-ehlo-keywords",
        since="2.10",
        example=f"{_HEAD}discarding EHLO keywords: CHUNKING",
        pattern=r"discarding EHLO keywords: .*",
        words=("discarding",),
        build=housekeeping("ehlo_keywords"),
        source="postscreen/postscreen_smtpd.c: psc_ehlo_cmd",
    ),
    Rule(
        name="postscreen-client-gone",
        since="2.10",
        # The client left between connecting and being looked at.
        example=f"{_HEAD}warning: getpeername: Transport endpoint is not connected -- dropping this connection",
        pattern=r"warning: (?:get(?:peer|sock)name|cannot convert (?:client|server) address/port to string): "
        r".{1,200}? -- dropping this connection",
        words=("warning",),
        build=housekeeping("client_gone"),
        source="postscreen/postscreen_endpt.c: psc_endpt_local_lookup",
    ),
    Rule(
        name="postscreen-haproxy",
        since="2.10",
        example=f"{_HEAD}warning: haproxy read: time limit exceeded",
        pattern=r"warning: (?P<subject>haproxy) read: .*",
        words=("warning",),
        build=health("other"),
        source="postscreen/postscreen_haproxy.c: psc_endpt_haproxy_event",
    ),
    Rule(
        name="postscreen-slow-table",
        since="2.10",
        example=f"{_HEAD}warning: psc_cache_update: btree:/var/lib/postfix/postscreen_cache update average delay is "
        "123 ms",
        pattern=r"warning: psc_[a-z_]++:(?: (?P<subject>[^ :/]*+[:/][^ ]*+))?[a-z: ]{0,60} average delay is "
        r"[0-9]++ ms",
        words=("warning",),
        build=health("other"),
        source="postscreen/postscreen_dict.c: psc_cache_update",
    ),
    Rule(
        name="postscreen-slow-dnsbl",
        since="2.10",
        example=f"{_HEAD}warning: dnsblog reply timeout 10s for zen.example.net",
        pattern=r"warning: dnsblog reply timeout [0-9]++s for (?P<subject>[^ ]++)",
        words=("warning",),
        build=health("other"),
        source="postscreen/postscreen_dnsbl.c: psc_dnsbl_receive",
    ),
    Rule(
        name="postscreen-service-down",
        since="2.10",
        example=f"{_HEAD}warning: cannot connect to service private/smtpd: Connection refused",
        pattern=r"warning: (?:cannot connect to|cannot pass connection to|timeout sending connection to) "
        r"service (?P<subject>[^ :]++)(?:: .*)?",
        words=("warning",),
        build=health("ipc_error"),
        source="postscreen/postscreen_send.c: psc_send_socket",
    ),
    Rule(
        name="postscreen-helper-down",
        since="2.10",
        example=f"{_HEAD}warning: psc_dnsbl_request: connect to private/dnsblog service: No such file or directory",
        pattern=r"warning: (?:psc_[a-z_]++: )?(?:connect to|error sending to|timeout receiving status from|"
        r"problem receiving status from) (?P<subject>[^ :]++) service(?:: .*)?",
        words=("warning",),
        build=health("ipc_error"),
        source="postscreen/postscreen_dnsbl.c: psc_dnsbl_request",
    ),
)

_DNSBLOG_HEAD = "Nov 22 10:27:54 mx1 postfix/dnsblog[768]: "

DNSBLOG: Final = (
    Rule(
        name="dnsblog-refused",
        since="2.10",
        # By the lists' convention 127.255.255.0/24 is no listing but an error: our resolver is refused.
        example=f"{_DNSBLOG_HEAD}addr 192.0.2.9 listed by domain zen.example.net as 127.255.255.254",
        pattern=r"addr [0-9A-Fa-f:.]++ listed by domain (?P<subject>[^ ]++) as 127\.255\.255\.[0-9]{1,3}",
        words=("addr",),
        build=health("other"),
        source="dnsblog/dnsblog.c: dnsblog_query",
    ),
    Rule(
        name="dnsblog-listed",
        since="2.10",
        example=f"{_DNSBLOG_HEAD}addr 192.0.2.9 listed by domain zen.example.net as 127.0.0.4",
        pattern=r"addr (?P<ip>[0-9A-Fa-f:.]++) listed by domain (?P<zone>[^ ]++) as "
        r"(?!127\.255\.255\.)(?P<reply>[0-9A-Fa-f:.]++)",
        words=("addr",),
        build=_listed,
        plain=(
            Plain(
                r"addr [0-9A-Fa-f:.]++ listed by domain [^ ]++ as 127\.0\.[0-9]++\.[0-9]++",
                rare=True,
                hit=DnsblListed,
                bare=True,
            ),
        ),
        source="dnsblog/dnsblog.c: dnsblog_query",
    ),
    Rule(
        name="dnsblog-lookup-error",
        since="2.10",
        example=f"{_DNSBLOG_HEAD}warning: dnsblog_query: lookup error for DNS query 9.2.0.192.zen.example.net: "
        "Host or domain name not found. Name service error for name=9.2.0.192.zen.example.net type=A: Host not found, "
        "try again",
        # The subject is the list, without the client's reversed address.
        pattern=r"warning: dnsblog_query: lookup error for DNS query "
        r"(?:(?:[0-9a-f]\.){32}|(?:[0-9]{1,3}\.){4})?(?P<subject>[^ :]++)(?:: .*)?",
        words=("warning",),
        build=health("other"),
        source="dnsblog/dnsblog.c: dnsblog_query",
    ),
)
