"""What the planner remembers comes back from the rows that changed, in the order in which a dictionary has it."""

from hypothesis import given
from hypothesis import strategies as st

from pfwatch.alerting.remembered import Remembered

ACTIONS = st.lists(st.tuples(st.sampled_from(["set", "set", "pop", "clear", "drain", "restart"]), st.integers(0, 6)))


def drained(one: Remembered[int], kept: dict[bytes, bytes]) -> dict[bytes, bytes]:
    """What a store has after the next commit."""
    changed = one.drain("name")
    left = {key: row for key, row in kept.items() if key not in changed}
    return left | {key: row for key, row in changed.items() if row is not None}


@given(ACTIONS)
def test_a_restart_after_any_changes_gives_the_same_rows_in_the_same_order(actions: list[tuple[str, int]]) -> None:
    one, model, kept = Remembered[int](int, {}), dict[str, int](), {b"other 1": b"of another name"}
    for number, (action, place) in enumerate([*actions, ("restart", 0)]):
        key = f"a key {place}"
        if action == "set":
            one[key] = model[key] = number
        elif action == "pop":
            assert one.pop(key) == model.pop(key, None)
        elif action == "clear":
            one.clear()
            model.clear()
        else:
            kept = drained(one, kept)
        if action == "restart":
            one = Remembered(int, {})
            one.restore("name", dict(sorted(kept.items())))
            assert drained(one, {}) == {}
        assert list(one.items()) == list(model.items())
    one.touch_all()
    assert drained(one, {}) == {key: row for key, row in kept.items() if key.startswith(b"name ")}


def test_what_was_kept_in_another_form_is_kept_in_rows_from_now_on() -> None:
    one = Remembered(int, {"b": 1, "a": 2})
    rows = one.drain("name")
    again = Remembered[int](int, {})
    again.restore("name", {key: row for key, row in rows.items() if row is not None})
    assert list(again.items()) == [("b", 1), ("a", 2)]
