"""The pattern that cuts blocks: what it is made of."""

import re

import pytest

from pfwatch.parsing.block import as_branches, cut_pattern, plain_forms
from pfwatch.parsing.grammar import GRAMMAR, every_rule
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
def test_a_match_has_few_groups_however_many_rules_there_are(form: str) -> None:
    """Each costs some nanoseconds a line, and there are hundreds of rules."""
    assert cut_pattern(form).groups == 8


def test_every_head_is_told_from_the_words_of_an_example() -> None:
    pattern = cut_pattern("bsd")
    for name, (rule, _) in every_rule().items():
        if rule.plain and not rule.plain[0].rare:
            (pieces,) = pattern.findall(b"\n" + rule.example.encode())
            assert pieces[4], name
            assert pieces[0] == rule.example[:15].encode()


@pytest.mark.parametrize("daemon", GRAMMAR)
def test_forms_that_vary_share_their_head_with_nobody(daemon: str) -> None:
    """What stands behind such a head is matched once."""
    heads = [(form.with_id, form.head) for form in plain_forms(daemon) if form.plain.varied]
    others = [(form.with_id, form.head) for form in plain_forms(daemon) if not form.plain.varied]
    assert len(set(heads)) == len(heads)
    assert not set(heads) & set(others)
