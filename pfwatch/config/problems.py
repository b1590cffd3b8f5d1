"""What is wrong with a configuration, said so that it can be mended.

Enters: places and words. Leaves: `Problem` and `ConfigError`. This file must never know which settings there are.
"""

import msgspec


class Problem(msgspec.Struct, frozen=True):
    """One thing that is wrong. `str()` gives `file:line:column: key: what is wrong`."""

    file: str
    """The file as it was named, or `environment`."""
    line: int
    """From 1; 0 when the problem has no place in the file."""
    column: int
    """From 1, in characters."""
    key: str
    """The dotted key, the name of an environment variable, or empty when it is about the file as a whole."""
    message: str

    def __str__(self) -> str:
        if not self.line:
            return f"{self.file}:{self.key}: {self.message}" if self.key else f"{self.file}: {self.message}"
        place = f"{self.file}:{self.line}:{self.column}"
        return f"{place}: {self.key}: {self.message}" if self.key else f"{place}: {self.message}"


class ConfigError(Exception):
    """The configuration cannot be used; `problems` holds everything that was found, in the order of the file."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems
