"""The live run: sources -> pipeline -> state, metrics and mail. Wiring, no decisions."""

from pfwatch.daemon.live import Daemon, End, signals
from pfwatch.daemon.settings import DaemonSettings

__all__ = ["Daemon", "DaemonSettings", "End", "signals"]
