"""The sockets on which syslog is received.

Enters: where to listen. Leaves: bound sockets, sentences when that is not possible, and how many datagrams the kernel
dropped. This file must never know what is received.
"""

import contextlib
import errno
import socket
import struct

from pfwatch.sources.settings import Listen

DATAGRAM = 64 * 1024
"""Bytes; a larger one does not exist."""
_ROOM = 4 * 1024 * 1024
"""Bytes that the kernel should hold of datagrams that were not read yet; it gives at most net.core.rmem_max."""
_SO_MEMINFO = 55
_DROPS = 8


class ListenError(Exception):
    """Nothing can be received there; the text continues a sentence that begins with the name of the source."""


def bind(listen: Listen) -> socket.socket:
    """A socket that does not block, bound and for TCP listening. Raises ListenError."""
    family = socket.AF_INET6 if ":" in listen.host else socket.AF_INET
    kind = socket.SOCK_DGRAM if listen.transport == "udp" else socket.SOCK_STREAM
    bound = socket.socket(family, kind)
    try:
        if family == socket.AF_INET6:  # both at once would show senders over IPv4 under another name
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if kind == socket.SOCK_DGRAM:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _ROOM)
        else:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.setblocking(False)
        bound.bind((listen.host, listen.port))
        if kind == socket.SOCK_STREAM:
            bound.listen(128)
    except OSError as error:
        bound.close()
        raise ListenError(f"cannot listen on {listen}: {_explain(error, listen)}") from error
    return bound


def keep_alive(accepted: socket.socket) -> None:
    """Have the kernel find out when a sender is gone without a word: after some ten minutes."""
    with contextlib.suppress(OSError):
        accepted.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 300)
        accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 60)
        accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 5)


class Drops:
    """What the kernel dropped of a socket's datagrams because nobody took them in time."""

    def __init__(self, bound: socket.socket) -> None:
        self._socket = bound
        self._seen = self._read()

    def take(self) -> int:
        """How many since the last call; 0 also where the kernel does not tell (before Linux 4.12)."""
        before, self._seen = self._seen, self._read()
        return (self._seen - before) % 2**32

    def _read(self) -> int:
        try:
            told = self._socket.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, 4 * (_DROPS + 1))
        except OSError:
            return 0
        return int(struct.unpack_from("=I", told, 4 * _DROPS)[0]) if len(told) > 4 * _DROPS else 0


def _explain(error: OSError, listen: Listen) -> str:
    if error.errno == errno.EADDRINUSE:
        kind = "u" if listen.transport == "udp" else "t"
        return (
            f"another process holds this port (`ss -ln{kind}p 'sport = :{listen.port}'` names it); stop it, or choose "
            "another [syslog] listen"
        )
    if error.errno == errno.EADDRNOTAVAIL:
        return "this machine does not have that address (`ip address` lists them); correct [syslog] listen"
    if error.errno in {errno.EACCES, errno.EPERM}:
        return "not permitted; choose a port of 1024 or above in [syslog] listen"
    return f"{error.strerror or error}; check [syslog] listen"
