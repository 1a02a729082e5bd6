"""A list of any length is a list."""

import pytest

from bulkload.system.spilling import IN_MEMORY, SpilledList


def spilled(items: list[str]) -> SpilledList[str]:
    found: SpilledList[str] = SpilledList(list, "".join)
    for item in items:
        found.append(item)
    return found


@pytest.mark.parametrize("count", [0, 1, IN_MEMORY - 1, IN_MEMORY, IN_MEMORY + 1, IN_MEMORY + 64, 3 * IN_MEMORY + 7])
def test_it_holds_what_was_put_into_it(count):
    items = [f"item {number} \ud800é\n" for number in range(count)]
    found = spilled(items)
    assert len(found) == count
    assert list(found) == items
    assert list(found) == items  # again
    assert bool(found) == bool(items)


def test_items_are_found_by_their_numbers():
    items = [f"{number}" for number in range(2 * IN_MEMORY + 3)]
    found = spilled(items)
    for number in (0, 1, IN_MEMORY - 1, IN_MEMORY, IN_MEMORY + 63, IN_MEMORY + 64, 2 * IN_MEMORY + 2, -1, -len(items)):
        assert found[number] == items[number]
    assert found[IN_MEMORY - 2 : IN_MEMORY + 2] == tuple(items[IN_MEMORY - 2 : IN_MEMORY + 2])
    for number in (len(items), -len(items) - 1):
        with pytest.raises(IndexError):
            found[number]


def test_it_may_grow_while_it_is_read():
    found = spilled([f"{number}" for number in range(IN_MEMORY + 5)])
    read = []
    for item in found:
        read.append(item)
        if len(read) == IN_MEMORY + 2:
            found.append("late")
    assert read[-1] == "late"
    assert len(read) == len(found)
