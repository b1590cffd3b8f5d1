"""The pattern that cuts blocks: what it is made of."""

import re

import pytest

from pfwatch.parsing.block import as_branches, block_pattern
from pfwatch.records.header import FORMS


@pytest.mark.parametrize(
    ("pattern", "rewritten"),
    [
        ("a(?:b)?c", "a(?:b|)c"),
        ("a(?:b(?:c)?d)?", "a(?:b(?:c|)d|)"),
        (r"a(?:\)?)?", r"a(?:\)?|)"),
        ("a(?:[)?(]b)?", "a(?:[)?(]b|)"),
        ("a(?:[]?(]b)?", "a(?:[]?(]b|)"),
        ("(a)?(?:b)??(?:c)*(?=d)", "(a)?(?:b)??(?:c)*(?=d)"),
    ],
)
def test_optional_parts_become_branches(pattern: str, rewritten: str) -> None:
    assert as_branches(pattern) == rewritten
    re.compile(rewritten)


@pytest.mark.parametrize("form", FORMS)
def test_every_alternative_is_told_by_a_group_of_its_own(form: str) -> None:
    pattern, alternatives, row = block_pattern(form, plain=True)
    assert len(alternatives) == pattern.groups + 1
    assert all(alternatives[group] is None for group in row)
    assert sum(alternative is not None for alternative in alternatives) >= 15
