"""What an administrator can set of the state database, with the shipped values. It must never know where from."""

import msgspec


class StoreSettings(msgspec.Struct, frozen=True):
    """Where the state is and how often it is committed."""

    path: str = "/var/lib/pfwatch/state.db"
    commit_interval: float = 1.0
    """Seconds at most between reading a line and its being durable."""
    commit_bytes: int = 4 * 1024 * 1024
    """Bytes of log at most in one transaction."""
