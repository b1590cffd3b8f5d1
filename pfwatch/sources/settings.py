"""What an administrator can set of the log sources, with the shipped values. It must never know where from."""

import msgspec


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
