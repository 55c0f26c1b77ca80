"""Many keys in little memory: what was put in comes out, also after changes and merges."""

import sys
from operator import itemgetter

from hypothesis import given
from hypothesis import strategies as st

from rules.name_sets_by_key import KeySets

KEYS = st.integers(0, 2**63 - 1) | st.integers(0, 20)
SETS = st.frozensets(st.sampled_from(["block", "allow", "sanctions"]))


@given(st.dictionaries(KEYS, SETS), st.lists(st.dictionaries(KEYS, SETS), max_size=4))
def test_it_is_a_mapping_whatever_is_changed(begin: dict[int, frozenset[str]], changes: list) -> None:
    sets, oracle = KeySets(sorted(begin.items(), key=itemgetter(0))), dict(begin)
    for change in changes:
        sets.update(change)
        sets._merge()
        oracle |= change
        assert {key: sets.get(key) for key in oracle} == oracle
        assert sets.get(2**62 + 12345) == oracle.get(2**62 + 12345, frozenset())


def test_many_changes_are_merged_and_a_key_takes_twelve_bytes() -> None:
    sets = KeySets((key, frozenset({"block"})) for key in range(0, 200_000, 2))
    sets.update({key: frozenset({"allow"}) for key in range(1, 50_001, 2)})
    assert not sets._changed, "25,000 changes are merged into the arrays"
    assert len(sets) == 125_000
    assert (sets.get(0), sets.get(1), sets.get(199_998), sets.get(199_999)) == (
        frozenset({"block"}),
        frozenset({"allow"}),
        frozenset({"block"}),
        frozenset(),
    )
    keys, numbers, names = sets._parts
    assert (sys.getsizeof(keys) + sys.getsizeof(numbers)) / len(sets) < 16
    assert len(names) == 2
    sets.update({0: frozenset()})
    assert sets.get(0) == frozenset()
