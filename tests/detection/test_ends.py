"""Incidents end in the order of their moments, and of one moment in the order of their keys."""

from hypothesis import given
from hypothesis import strategies as st

from pfwatch.detection.ends import Ends

KEYS = st.tuples(st.sampled_from(["auth-bruteforce", "relay-probe"]), st.sampled_from(["192.0.2.7", "2001:db8::/64"]))


@given(st.lists(st.tuples(st.integers(0, 5).map(float), KEYS)))
def test_whoever_waits_is_taken_once_the_earliest_first(waiting: list[tuple[float, tuple[str, str]]]) -> None:
    ends = Ends()
    for at, key in waiting:
        ends.add(at, key)
    assert len(ends) == len(waiting)
    taken = []
    while ends:
        at = ends.next()
        taken += [(at, key) for key in ends.take()]
    assert taken == sorted(waiting)
    assert ends.next() == float("inf")


def test_who_comes_back_for_a_moment_that_was_taken_waits_for_it_again() -> None:
    ends = Ends()
    ends.add(1.0, ("relay-probe", "192.0.2.7"))
    assert ends.take() == [("relay-probe", "192.0.2.7")]
    ends.add(1.0, ("relay-probe", "192.0.2.8"))
    assert (ends.next(), ends.take(), len(ends)) == (1.0, [("relay-probe", "192.0.2.8")], 0)
