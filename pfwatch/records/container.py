"""What a container runtime does to a log before it is in a file, undone.

Enters: whole lines as the runtime wrote them. Leaves: the lines that the container wrote. This file must never know
what such a line means.

A prefix before the line needs nothing here: it is a part of the header (`header.CONTAINER`), which costs a plain log
nothing. Two things are more than a prefix. Docker's json-file wraps each line into an object. And both Docker and the
files of Kubernetes and Podman (CRI) break a line of more than 16 KiB into pieces: the pieces are one line, and are
counted as one, for what stands at the beginning of a later piece was chosen by whoever made the line long.
"""

import re
from typing import Final, Literal

import msgspec

LONGEST: Final = 64 * 1024
"""Bytes of a line that was broken into pieces; the rest is dropped. As the bound of a reader of files."""

_OBJECT = b'{"log":"'
"""How every line of json-file begins; Docker writes its keys in this order."""
_CRI_LINE = re.compile(
    rb"(?m)^(?P<head>[0-9]{4}-[^ \n]{1,40}+ (?P<stream>std(?:out|err)) )(?P<piece>[FP]) (?P<text>[^\n]*+)\n"
)
_PIECES = (b" stdout P ", b" stderr P ")
_UNKNOWN = b"\0"
"""Stands for a piece that could not be read: what follows it is not the beginning of a line."""


class _Line(msgspec.Struct):
    """One object of json-file. Attributes, labels and the time are not needed."""

    log: str
    stream: Literal["stdout", "stderr"] = "stdout"


_decode = msgspec.json.Decoder(_Line).decode


class ContainerLog:
    """One source. What it keeps between blocks are the pieces of a line whose end has not come."""

    def __init__(self) -> None:
        self._cri = False
        """The source has lines of CRI: only there pieces are looked for, and a plain log pays for two glances at each
        block, at its first line and its last. A runtime writes a whole file in this form; where somebody put such lines
        between others, and no block begins or ends with one, their pieces stay apart."""
        self._pieces: dict[str, bytes] = {}
        """By stream, of json-file and of CRI apart: the line so far, for CRI with its prefix."""
        self._remembers = False

    def unwrap(self, block: bytes) -> bytes:
        """The lines of a block of whole lines; a block without anything to undo is given back itself."""
        if b"{" in block and (block.startswith(_OBJECT) or b"\n" + _OBJECT in block):
            lines = map(self._text, block.split(b"\n"))
            block = b"\n".join([line for line in lines if line is not None])
        if not self._cri and (_CRI_LINE.match(block) or _CRI_LINE.match(block, block.rfind(b"\n", 0, -1) + 1)):
            self._cri = self._remembers = True
        if self._cri and (self._pieces or any(mark in block for mark in _PIECES)):
            block = _CRI_LINE.sub(self._join, block)
        return block

    def rest(self) -> bytes:
        """The lines whose end never came, for the end of a finished log."""
        lines = b"".join(line + b"\n" for _, line in sorted(self._pieces.items()) if line != _UNKNOWN)
        self._pieces.clear()
        return lines

    def state(self) -> bytes | None:
        """What a restart must know of the lines before, encoded; None while that is nothing."""
        return msgspec.msgpack.encode((self._cri, self._pieces)) if self._remembers else None

    def restore(self, saved: bytes) -> None:
        """Go on behind the lines that `state` speaks of."""
        self._cri, self._pieces = msgspec.msgpack.decode(saved, type=tuple[bool, dict[str, bytes]])
        self._remembers = True

    def _text(self, line: bytes) -> bytes | None:
        """The line in an object, None for a piece; any other line as it is.

        Line feeds and NUL in it are shown as rsyslog shows them: a line stays one line.
        """
        if not line.startswith(_OBJECT):
            return line
        try:
            wrapped = _decode(line)
        except (msgspec.MsgspecError, UnicodeError):
            # Cut, for it was too long: whether it was a piece, and of which stream, stood at its end.
            for stream in ("stdout", "stderr"):
                self._keep(_object_of(stream), self._pieces.get(_object_of(stream), _UNKNOWN))
            return line
        ended = wrapped.log.endswith("\n")
        text = wrapped.log.removesuffix("\n").encode()
        if b"\n" in text or b"\0" in text:
            text = text.replace(b"\n", b"#012").replace(b"\0", b"#000")
        if self._pieces or not ended:
            text = (self._pieces.pop(_object_of(wrapped.stream), b"") + text)[:LONGEST]
        if not ended:
            self._keep(_object_of(wrapped.stream), text)
        return text if ended else None

    def _join(self, line: re.Match[bytes]) -> bytes:
        """A line of CRI behind the pieces before it; nothing for a piece."""
        stream, ended = line["stream"].decode(), line["piece"] == b"F"
        before = self._pieces.pop(stream, None)
        if before is None and ended:
            return line[0]
        text = ((line["head"] + b"F " if before is None else before) + line["text"])[:LONGEST]
        if not ended:
            self._keep(stream, text)
        return text + b"\n" if ended else b""

    def _keep(self, stream: str, line: bytes) -> None:
        self._pieces[stream] = line
        self._remembers = True


def _object_of(stream: str) -> str:
    return f"json-file {stream}"
