"""Where the passwords of mail servers come from: a file, a systemd credential, or the configuration file itself.

Enters: what the configuration says, the environment, the mode of the configuration file. Leaves: `Password`, a text
that does not show itself. This file must never put a password, or what may be one by mistake, into a message.
"""

import stat
from collections.abc import Mapping
from pathlib import Path

from pfwatch.config.values import kind
from pfwatch.systemd import CredentialError, credential

CREDENTIALS = {("mail",): "smtp-password", ("mail", "fallback"): "smtp-fallback-password"}
"""Which systemd credential belongs to the server of which table."""

LONGEST = 4096
"""Bytes of a password; whoever names a log file by mistake is told so."""

_Complaint = tuple[tuple[str, ...], str]


class Password(str):
    """A text that the repr of whatever holds it, a log or a traceback do not show."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'(hidden)'"


def written_password(value: object) -> Password:
    """The value of a `password` key."""
    if not isinstance(value, str):
        raise ValueError(f"expected text in quotes, found {kind(value)}")
    return _usable(value)


def password_from_file(value: object) -> Password:
    """The content of the file that a `password_file` key names."""
    if not isinstance(value, str):
        raise ValueError(f"expected the path of a file in quotes, found {kind(value)}")
    # The value is not repeated in a message: somebody will write the password itself here.
    if not value.startswith("/") or not value.isprintable():
        raise ValueError("expected the path of a file that holds the password, beginning with /")
    try:
        path = Path(value)
        if not stat.S_ISREG(path.stat().st_mode):
            raise ValueError("names something that is not a regular file")
        with path.open("rb") as file:
            content = file.read(LONGEST + 1)
    except OSError as error:
        raise ValueError(
            f"the file cannot be read: {error.strerror}; it must be readable for the user that pfwatch runs as"
        ) from None
    if len(content) > LONGEST:
        raise ValueError(f"the file is larger than {LONGEST} bytes; it must hold the password and nothing else")
    try:
        return _usable(content.decode().removesuffix("\n").removesuffix("\r"))
    except UnicodeDecodeError:
        raise ValueError("the file is not UTF-8 text") from None


def _usable(password: str) -> Password:
    if not password:
        raise ValueError("the password is empty")
    if not password.isprintable():
        raise ValueError("the password has more than one line, or a character that cannot be printed")
    return Password(password)


def credentials(environ: Mapping[str, str]) -> tuple[dict[tuple[str, ...], Password], list[_Complaint]]:
    """The passwords that systemd handed over, by table, and what is wrong with them."""
    found: dict[tuple[str, ...], Password] = {}
    complaints: list[_Complaint] = []
    for table, name in CREDENTIALS.items():
        try:
            value = credential(name, environ)
            if value is not None:
                found[table] = _usable(value)
        except (CredentialError, ValueError) as error:
            about = "" if isinstance(error, CredentialError) else f"systemd credential {name}: "
            complaints.append((table, f"{about}{error}"))
    return found, complaints


def check_servers(
    servers: Mapping[tuple[str, ...], Mapping[str, object]], handed_over: Mapping[tuple[str, ...], Password], mode: int
) -> list[_Complaint]:
    """What is wrong between the keys of each server's table, and with a password in a file of this mode."""
    complaints: list[_Complaint] = []
    for table, name in CREDENTIALS.items():
        server = servers.get(table, {})
        complaints += _check_pair(table, name, server, table in handed_over)
        if "password" in server and mode & stat.S_IROTH:
            complaints.append(
                (
                    (*table, "password"),
                    "everybody on this machine can read this file; make it private (chmod 0600), or move the password "
                    "to a file of its own and name that with password_file",
                )
            )
    return complaints


def _check_pair(
    table: tuple[str, ...], credential_name: str, server: Mapping[str, object], handed_over: bool
) -> list[_Complaint]:
    keys = [key for key in ("password", "password_file") if key in server]
    if "username" in server and not keys and not handed_over:
        message = (
            f"there is no password for this user name; name a file that holds it with password_file, or hand over the "
            f"systemd credential {credential_name} (to check that outside the service, set CREDENTIALS_DIRECTORY)"
        )
        return [((*table, "username"), message)]
    if "username" not in server and keys:
        return [((*table, keys[0]), f"a password without a user name; add username to [{'.'.join(table)}]")]
    if "username" not in server and handed_over:
        message = f"systemd hands over the credential {credential_name}, but [{'.'.join(table)}] has no username"
        return [(table, message)]
    if len(keys) == 2:
        return [((*table, "password"), "there is a password_file too; keep one of the two")]
    return []
