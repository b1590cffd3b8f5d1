"""The systemd journal as a source: live and finished, by libsystemd or by journalctl."""
