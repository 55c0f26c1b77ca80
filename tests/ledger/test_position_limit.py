"""A position exceeds one of its bounds exactly if it exceeds the lower one."""

from hypothesis import given
from hypothesis import strategies as st

from ledger import position_limit
from ledger.position_limit import Bound

amounts = st.integers(-20, 20)


@given(position=amounts, cap=amounts, cover=amounts)
def test_what_passes_a_bound_is_above_the_limit(position: int, cap: int, cover: int) -> None:
    passed = position_limit.passed(position, cap, cover)
    assert bool(passed) == (position > position_limit.limit_of(cap, cover))
    assert (Bound.CAP in passed, Bound.COVER in passed) == (position > cap, position > cover)
    assert Bound.COVER not in position_limit.passed(position, cap, None)
    assert not position_limit.passed(position, None, None)
