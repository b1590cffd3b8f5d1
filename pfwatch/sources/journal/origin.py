"""Who wrote an entry of the journal, by the fields that only journald sets.

Enters: what an entry claims to be, and its trusted fields. Leaves: whether that can be. This file must never know a
message, or how a journal is read.

Every local user may write to the journal under any name. What the kernel told journald about the writer is in fields
whose names begin with an underscore, and these cannot be sent. Remote journals keep them; containers have the paths of
their own file system and, in a user namespace, users of their own (`[journal] verify = false` is for those).
"""

from typing import Final, NamedTuple

from pfwatch.records.header import postfix_tag


class Origin(NamedTuple):
    """An entry's fields that tell whose it is, each as its bytes or None. The first is claimed, the rest is known."""

    identifier: bytes | None
    user: bytes | None
    """`_UID`. journald has it of every writer; an entry without it was not taken from one."""
    program: bytes | None
    """`_EXE`. Missing when the process was gone before journald could look."""
    command: bytes | None
    """`_COMM`: the program's name, of at most 15 bytes. A process can change its own."""
    transport: bytes | None
    """`_TRANSPORT`. Every entry that a journald wrote has one."""

    def writer(self) -> str:
        """For messages."""
        program = (self.program or self.command or b"a program that was gone").decode("utf-8", "backslashreplace")
        return f"{program} of user {self.user.decode(errors='replace') if self.user else 'unknown'}"


_COMM_LENGTH = 15
_FIRST_PLAIN_USER = 1000
"""Below are the system's own users on every distribution."""
_SYSTEM_PLACES = (b"/usr/", b"/opt/", b"/bin/", b"/sbin/", b"/lib", b"/nix/store/", b"/gnu/store/", b"/snap/")
"""Where a plain user cannot put a program."""
_ANYBODY_RUNS: Final = frozenset(
    ("postalias", "postcat", "postconf", "postdrop", "postfix", "postlog", "postmap", "postqueue", "sendmail")
)
"""Commands that Postfix has for every user. Their lines tell of no client."""
_SAME_PROGRAM = ({"smtp", "lmtp"}, {"qmgr", "nqmgr", "oqmgr"})
_DOVECOT_COMMANDS = frozenset((b"dovecot", b"log", b"auth", b"imap-login", b"pop3-login"))


def is_postfix(identifier: bytes) -> bool:
    """Whether an entry of this name claims to be Postfix's, of whichever instance."""
    return postfix_tag(identifier) is not None


def may_be_postfix(origin: Origin, owner: int | None) -> bool:
    """Whether Postfix can have written what claims to be Postfix's.

    `owner` is the number of Postfix's own user (`mail_owner`) where it is known: of a process that was gone before
    journald looked, only the user is left to judge by. None: any of the system's own users is believed then.
    """
    tag = postfix_tag(origin.identifier or b"")
    if tag is None:
        return False
    user = _number(origin.user)
    if user is None:
        return _not_from_journald(origin)
    if origin.program is None and origin.command is None:
        return user in (0, owner) or (owner is None and user < _FIRST_PLAIN_USER)
    if user >= _FIRST_PLAIN_USER and user != owner:
        return tag.daemon in _ANYBODY_RUNS and _is_program(origin, tag.daemon)
    # The scripts of Postfix, which root runs, log through postlog under names of their own.
    return _is_program(origin, tag.daemon) or (user == 0 and _is_program(origin, "postlog"))


def may_be_dovecot(origin: Origin) -> bool:
    """Whether Dovecot can have written what claims to be Dovecot's."""
    user = _number(origin.user)
    if user is None:
        return _not_from_journald(origin)
    if user >= _FIRST_PLAIN_USER:
        return False
    if origin.program is not None:
        return b"/dovecot" in origin.program and origin.program.startswith(_SYSTEM_PLACES)
    return origin.command in _DOVECOT_COMMANDS or (origin.command is None and user == 0)


def _not_from_journald(origin: Origin) -> bool:
    """Made by another program from a log that had no such fields: whoever made the file vouches for it."""
    return origin.transport is None and origin.program is None and origin.command is None and origin.user is None


def _number(user: bytes | None) -> int | None:
    return int(user) if user is not None and user.isdigit() and len(user) <= 10 else None


def _is_program(origin: Origin, name: str) -> bool:
    names = next((names for names in _SAME_PROGRAM if name in names), {name})
    if origin.program is not None:
        path = origin.program.removesuffix(b" (deleted)")
        return path.startswith(_SYSTEM_PLACES) and path.rpartition(b"/")[2].decode("latin-1") in names
    return origin.command in {name.encode()[:_COMM_LENGTH] for name in names}
