"""What a pattern needs that has no steps is said."""

import pytest

from pfwatch.parsing.steps import Program, UnsupportedPatternError


@pytest.mark.parametrize("pattern", [rb"(a)\1", rb"(?:ab)*c", rb"a*?b", rb"(?<=a)b", rb"^a", rb"(?i:a)", rb"(?>ab)c"])
def test_what_has_no_steps_is_said_to_have_none(pattern: bytes) -> None:
    with pytest.raises(UnsupportedPatternError):
        Program(pattern)
