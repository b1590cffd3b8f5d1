# The types of compiled.pyx, whose docstrings tell what these are.

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from pfwatch.parsing.block import Form
from pfwatch.parsing.hits import Hits
from pfwatch.parsing.listener import Listener
from pfwatch.parsing.tally import Key, Spread
from pfwatch.records.time import TimeReader

class Pattern:
    groups: dict[str, int]
    def __init__(self, pattern: bytes) -> None: ...
    def match(self, text: bytes) -> tuple[int, list[tuple[int, int]]] | None: ...

class PlainForm:
    form: Form
    def __init__(
        self,
        form: Form,
        pattern: Pattern,
        key: Sequence[str],
        spread: Sequence[str],
        *,
        judge: Callable[..., bool | None] | None,
        hits: Callable[[Origin, bytes], Hits] | None,
        measure: Callable[[bytes | None], Any] | None,
        noted: str | None,
        queue_id: bytes | None,
        passed: bool,
    ) -> None: ...

class Origin:
    text: bytes
    host: bytes
    tag: bytes
    foreign: bool
    def __init__(
        self,
        text: bytes,
        host: bytes,
        tag: bytes,
        identified: Iterable[PlainForm],
        anonymous: Iterable[PlainForm],
        *,
        foreign: bool,
        awaited: bool,
        begins: bytes | None,
    ) -> None: ...

class Node:
    form: PlainForm
    key: Key
    count: int
    is_hit: bool

class PlainReader:
    known_nodes: list[Node]
    def __init__(
        self,
        learn: Callable[[bytes], Origin],
        not_plain: Callable[..., None] | None,
        make_room: Callable[[], None],
        times: TimeReader,
    ) -> None: ...
    def forget(self) -> None: ...
    def take(self) -> list[tuple[Node, int, Spread | None]]: ...
    def read(
        self, block: bytes, begin: Pattern, tagged: Pattern, behind: Pattern, effects: Effects, picky: bool
    ) -> tuple[int, int, int, int, int]: ...
    def apply(self, recorded: bytes, effects: Effects) -> tuple[int, int, int, int]: ...

class Effects:
    def __init__(self, listener: Listener, *, bare: bool) -> None: ...

class Recording(Effects):
    stopped_at: int
    passing: int
    def __init__(self, may_stand_alone: Callable[[bytes], bool]) -> None: ...
    def take(self) -> bytes: ...
