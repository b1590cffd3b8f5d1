"""local, virtual, pipe, error and discard: what stands in their way, in lines beside the delivery's own.

Enters: match objects. Leaves: events and rules. This file must never know which recipient was affected: that is the
`delivery` line.

What an administrator or a mailbox owner set wrongly is health; what an address alone can cause is only read.
"""

import re

from pfwatch.events import Envelope, Event, Housekeeping, ServiceHealth
from pfwatch.parsing.fragments import untrusted, word
from pfwatch.parsing.rule import Build, Rule


def _trouble(problem: str) -> Build[ServiceHealth]:
    def build(envelope: Envelope, found: re.Match[bytes]) -> ServiceHealth:
        return ServiceHealth(envelope, problem, word(found.groupdict().get("subject")) or "", untrusted(found["text"]))

    return build


def _nothing_to_count(topic: str) -> Build[Housekeeping]:
    def build(envelope: Envelope, found: re.Match[bytes]) -> Housekeeping:
        return Housekeeping(envelope, topic, untrusted(found["text"]))

    return build


_LOCAL = "Nov 22 09:53:31 mx1 postfix/local[261]: warning: "
_PIPE = "Nov 22 09:53:31 mx1 postfix/pipe[262]: warning: "
_VIRTUAL = "Nov 22 09:53:31 mx1 postfix/virtual[263]: warning: "


def _warning(name: str, example: str, text: str, build: Build[Event], source: str) -> Rule:
    return Rule(
        name=name,
        since="2.10",
        example=example,
        pattern=rf"warning: (?P<text>{text})",
        words=("warning",),
        build=build,
        source=source,
    )


RULES: tuple[Rule, ...] = (
    _warning(
        "agents-maildir-access",
        f"{_LOCAL}maildir access problem for UID/GID=1000/1000: create maildir file "
        "/home/alice/Maildir/tmp/1795341211.P261.mx1: Permission denied",
        r"maildir access problem for UID/GID=(?P<subject>[0-9]++/[0-9]++): .*",
        _trouble("permissions"),
        "local/maildir.c, virtual/maildir.c: deliver_maildir",
    ),
    _warning(
        "agents-maildir-advice",
        f"{_LOCAL}perhaps you need to create the maildirs in advance",
        r"perhaps you need to create the maildirs in advance",
        _nothing_to_count("advice"),
        "local/maildir.c, virtual/maildir.c: deliver_maildir",
    ),
    _warning(
        "agents-mailbox-owner",
        f'{_VIRTUAL}specify "strict_mailbox_ownership = no" to ignore mailbox ownership mismatch',
        r'specify "(?P<subject>[a-z_]++) = no" to ignore mailbox ownership mismatch',
        _trouble("permissions"),
        "local/mailbox.c, virtual/mailbox.c",
    ),
    _warning(
        "agents-file-trust",
        f"{_LOCAL}file /home/alice/.forward is world writable",
        r"(?::include: )?file (?P<subject>[^ ]+) (?:is not a regular file|has bad owner uid [0-9]++|is world writable)",
        _trouble("permissions"),
        "local/dotforward.c: deliver_dotforward; local/include.c: deliver_include",
    ),
    _warning(
        "agents-file-unreadable",
        f"{_LOCAL}cannot open file /home/alice/.forward: Permission denied",
        r"(?:cannot open (?:include )?file|unable to lookup :include: file) (?P<subject>[^ ]+): .*",
        _trouble("permissions"),
        "local/dotforward.c: deliver_dotforward; local/include.c: deliver_include",
    ),
    _warning(
        "agents-alias",
        f"{_LOCAL}required alias not found: mailer-daemon",
        r"required alias not found: [^ ]++|no recipient in alias lookup result for .*|alias database loop for .*"
        r"|:include:[^ ]++ uses a relative path|(?:unknown home directory|bad home directory syntax) for: .*",
        _trouble("config_warning"),
        "local/unknown.c, alias.c, include.c, token.c",
    ),
    _warning(
        "agents-owner-lookup",
        f"{_LOCAL}cannot find alias database owner for hash:/etc/aliases",
        r"cannot find alias database owner for (?P<subject>[^ ]+?)(?:: .*)?"
        r"|[a-z_]++: no owner UID for alias database [^ ]++|[^ ]+: cannot find :include: file owner username"
        r"|cannot find username for uid [0-9]++(?:: .*)?|error looking up passwd info for .*",
        _trouble("map_error"),
        "local/alias.c: deliver_alias; local/include.c; local/mailbox.c",
    ),
    _warning(
        "agents-virtual-lookup",
        f"{_VIRTUAL}recipient bob@example.org: not found in virtual_uid_maps",
        r"recipient .{1,1000}?: (?:not found in (?P<subject>[^ ]++)|bad [ug]id [^ ]*+ in [^ ]++"
        r"|destination .* is not a regular file)|do not specify relative pathname: [a-z_]++ = .*",
        _trouble("config_warning"),
        "virtual/mailbox.c: deliver_mailbox",
    ),
    _warning(
        "agents-time-limit",
        f"{_PIPE}pipe_command_read: read time limit exceeded",
        r"(?P<subject>pipe_command)_[a-z_]++: (?:read|write|child wait) time limit exceeded",
        _trouble("other"),
        "global/pipe_command.c",
    ),
    _warning(
        "agents-pipe-setting",
        f'{_PIPE}file /etc/postfix/master.cf: service dovecot: unknown macro name: "recipent"',
        r'file [^ ]+: service (?P<subject>[^ ]+): unknown macro name: "[^"]*+"'
        r"|(?:pipe )?flag `[A-Z]' requires [^ ]++ = 1",
        _trouble("config_warning"),
        "pipe/pipe.c",
    ),
    _warning(
        "agents-biff",
        f"{_LOCAL}service not found: biff/udp",
        r"service not found: biff/udp|host not found: localhost|biff_notify: .*",
        _trouble("config_warning"),
        "local/biff_notify.c: biff_notify",
    ),
    _warning(
        "agents-strange-address",
        f"{_PIPE}no @ in recipient address: bob",
        r"no @ in recipient address: .*|[^ ]+: address with illegal extension: .*",
        _nothing_to_count("address"),
        "pipe/pipe.c: expand_argv; local/recipient.c, deliver_attr.c",
    ),
)
