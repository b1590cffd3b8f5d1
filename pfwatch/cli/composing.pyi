# The types of composing.pyx, whose docstrings tell what these are.

from pfwatch.cli.composer import Texts
from pfwatch.events import Event
from pfwatch.parsing.hits import Hit

class Composer:
    def __init__(self, texts: Texts) -> None: ...
    def of(self, events: list[Event | Hit]) -> bytes: ...
