"""Syslog as a source: received from other machines over TLS, TCP and UDP."""
