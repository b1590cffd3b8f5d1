"""What an administrator can set of the HTTP side, with the shipped values. It must never know where from."""

import msgspec


class WebSettings(msgspec.Struct, frozen=True):
    """Where /metrics and health are served."""

    enabled: bool = True
    host: str = "127.0.0.1"
    """An address of this machine; loopback unless a scraper elsewhere needs it."""
    port: int = 19154
