"""What an administrator can set of the log sources, with the shipped values. It must never know where from."""

from typing import Literal

import msgspec


class Listen(msgspec.Struct, frozen=True):
    """Where syslog is received."""

    transport: Literal["udp", "tcp", "tls"]
    host: str
    """An address of this machine."""
    port: int
    """0: any free one."""

    def __str__(self) -> str:
        return f"{self.transport}://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"


class SyslogSettings(msgspec.Struct, frozen=True):
    """Where syslog is received, and from whom."""

    listen: tuple[Listen, ...] = ()
    """Empty: nowhere."""
    allow_from: tuple[str, ...] = ("127.0.0.0/8", "::1/128")
    """Addresses and networks that may send. Of everybody else nothing is read."""
    certificate: str = ""
    """Path of the certificate that `tls` shows, with those between it and its authority; PEM."""
    key: str = ""
    """Path of its private key."""
    client_ca: str = ""
    """Path of the authorities that a client's certificate must come from; empty: clients show none."""
    client_names: tuple[str, ...] = ()
    """Names one of which must be in a client's certificate; empty: any."""
    max_connections: int = 64
    """Over TCP and TLS at once, of which an address gets a quarter. A connection over TLS takes 256 KiB."""
    idle_timeout: float = 86_400.0
    """Seconds after which a connection without messages is closed."""
    message_timeout: float = 30.0
    """Seconds in which a message that has begun must be complete."""


class JournalSettings(msgspec.Struct, frozen=True):
    """Whether and where the systemd journal is read. At most one of `directory` and `namespace` is set."""

    enabled: bool = False
    """Read it. Also without, where no log file is found."""
    directory: str | None = None
    """A directory of journal files, such as /var/log/journal/remote, or one such file; None: this machine's journal."""
    namespace: str | None = None
    """A journal namespace (`LogNamespace=` of a unit); None: the default one."""
    verify: bool = True
    """Set entries aside that claim to be Postfix's though the journal knows that another program wrote them."""
    dovecot: bool = False
    """Dovecot's entries are wanted, too."""

    @property
    def name(self) -> str:
        """As metrics, positions and messages show this journal."""
        where = self.directory or self.namespace
        return f"journal:{where}" if where else "journal"


class SourceSettings(msgspec.Struct, frozen=True):
    """Which logs, and how they are read."""

    paths: tuple[str, ...] = ()
    """Log files to follow, and patterns of them. Empty: pfwatch looks for the log itself and says what it chose."""
    time_zone: str | None = None
    """IANA name for time stamps that carry no zone; None: this machine's."""
    first_read: int = 86_400
    """Seconds of log that a first start reads back."""
    poll_interval: float = 0.25
    """Seconds between two looks at a quiet file; a busy one is looked at five times as often."""
    block_size: int = 256 * 1024
    """Bytes read at once."""
    max_line: int = 64 * 1024
    """A longer line is cut here; Postfix writes at most 2,000 bytes and a header."""
    syslog: SyslogSettings = SyslogSettings()
    journal: JournalSettings = JournalSettings()
