"""Properties of netting and of decisions, which are pure, for random commits and requested steps."""

from collections import defaultdict
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.settlement_postings import Balance
from settlement.decide import Answer, Refusal, Standing, Wish, decide
from settlement.netting import Obligation, Total, obligations
from settlement.states import NEXT, STEPS, State, WindowState, settlement_state, window_state
from settlement.views.settlements import AccountState

CURRENCIES = ("KES", "TZS")
# (window, currency, debit, credit, amount); an account's number begins with its currency's.
ENTRIES = st.lists(
    st.tuples(st.integers(1, 3), st.sampled_from((0, 1)), st.integers(1, 4), st.integers(1, 4), st.integers(1, 10**18)),
    max_size=40,
).map(lambda rows: [row for row in rows if row[2] != row[3]])


def totals_of(entries: list[tuple[int, int, int, int, int]]) -> list[Total]:
    """Added up by window and account, as the database does it."""
    sums: dict[tuple[int, int, int], list[int]] = defaultdict(lambda: [0, 0])
    for window, currency, debit, credit, amount in entries:
        sums[window, currency, debit][0] += amount
        sums[window, currency, credit][1] += amount
    return [
        Total(100 * currency + account, CURRENCIES[currency], debits, credits)
        for (_, currency, account), (debits, credits) in sums.items()
    ]


@given(ENTRIES)
def test_nets_come_to_zero_in_each_currency_and_are_the_sums_of_entries(
    entries: list[tuple[int, int, int, int, int]],
) -> None:
    owed = obligations(totals_of(entries))
    for currency in CURRENCIES:
        assert sum(o.net for o in owed if o.currency == currency) == 0
    for o in owed:
        c, account = CURRENCIES.index(o.currency), o.account_id % 100
        sent = sum(e[4] for e in entries if (e[1], e[2]) == (c, account))
        received = sum(e[4] for e in entries if (e[1], e[3]) == (c, account))
        assert o.net == sent - received
    assert len({o.account_id for o in owed}) == len(owed)


@given(ENTRIES)
def test_windows_settled_together_owe_what_they_owe_one_by_one(entries: list[tuple[int, int, int, int, int]]) -> None:
    together = {o.account_id: o.net for o in obligations(totals_of(entries))}
    alone: dict[int, int] = defaultdict(int)
    for window in (1, 2, 3):
        for o in obligations(totals_of([entry for entry in entries if entry[0] == window])):
            alone[o.account_id] += o.net
    assert together == dict(alone)


def test_totals_that_do_not_come_to_zero_are_never_settled() -> None:
    with pytest.raises(AssertionError):
        obligations([Total(1, "TZS", 5, 0), Total(2, "TZS", 0, 4)])


def test_an_account_without_a_net_is_in_it_still() -> None:
    assert obligations([Total(1, "TZS", 5, 5)]) == [Obligation(1, "TZS", 0)]


STATES = st.sampled_from([state for state in State if state != State.SETTLING])


@given(st.sampled_from(State), st.lists(STATES, min_size=1, max_size=4), STATES)
def test_an_account_takes_the_settlements_next_step_and_no_other(now: State, states: list[State], asked: State) -> None:
    accounts = {number: Standing(number, state, 0) for number, state in enumerate(states)}
    answers = decide([Wish(number, number, asked, "r") for number in accounts], now, accounts)
    for answer, state in zip(answers, states, strict=True):
        if answer.is_step:
            assert asked == NEXT[now]
            assert state not in (asked, State.ABORTED)
        elif answer.refusal is None:
            assert state == asked
        else:
            assert answer.refusal is Refusal.NO_STEP


@given(st.lists(st.tuples(st.integers(0, 2), st.sampled_from(STEPS)), max_size=60))
def test_whatever_is_asked_accounts_stay_within_one_step_and_the_settlement_follows_the_last(
    asked: list[tuple[int, State]],
) -> None:
    states = dict.fromkeys((0, 1, 2), State.PENDING_SETTLEMENT)
    now = State.PENDING_SETTLEMENT
    order = [State.PENDING_SETTLEMENT, *STEPS]
    for number, wanted in asked:
        standings = {account: Standing(account, state, 0) for account, state in states.items()}
        (answer,) = decide([Wish(number, number, wanted, "r")], now, standings)
        if answer.is_step:
            states[number] = wanted
        now = settlement_state(now, list(states.values()))
        ranks = sorted(order.index(state) for state in states.values())
        assert ranks[2] - ranks[0] <= 1
        is_between = (ranks[0], ranks[2]) == (3, 4)
        assert now == (State.SETTLING if is_between else order[ranks[0]])


def test_each_wrong_wish_gets_its_own_reason() -> None:
    accounts = {1: Standing(10, State.PENDING_SETTLEMENT, 5), 2: Standing(20, State.PENDING_SETTLEMENT, -5)}
    recorded = State.PS_TRANSFERS_RECORDED
    wishes = [
        Wish(10, 1, recorded, "r"),
        Wish(10, 1, recorded, "r"),
        Wish(10, 2, recorded, "r"),
        Wish(10, 3, recorded, "r"),
        Wish(30, 2, recorded, "r"),
        Wish(20, 2, State.SETTLED, "r"),
    ]
    answers = decide(wishes, State.PENDING_SETTLEMENT, accounts)
    assert [answer.refusal for answer in answers] == [
        None,
        Refusal.TWICE,
        Refusal.NOT_ITS_OWN,
        Refusal.NO_ACCOUNT,
        Refusal.NO_PARTICIPANT,
        Refusal.NO_STEP,
    ]


@pytest.mark.parametrize(
    ("cap", "cover", "refusal"),
    [(50, 50, None), (49, 50, Refusal.ABOVE_CAP), (50, 49, Refusal.ABOVE_COVER), (None, None, None)],
)
def test_a_receiver_is_reset_up_to_its_cap_and_cover_and_no_further(
    cap: int | None, cover: int | None, refusal: Refusal | None
) -> None:
    standing = Standing(10, State.PS_TRANSFERS_RECORDED, -30, Balance(20, cap, cover))
    wish = Wish(10, 1, State.PS_TRANSFERS_RESERVED, "r")
    expected = Answer(wish, refusal, is_step=refusal is None)
    assert decide([wish], State.PS_TRANSFERS_RECORDED, {1: standing}) == [expected]


@pytest.mark.parametrize(
    ("contents", "state"),
    [
        ("CLOSED CLOSED", "CLOSED"),
        ("CLOSED PENDING_SETTLEMENT", "PENDING_SETTLEMENT"),
        ("CLOSED SETTLED", "PENDING_SETTLEMENT"),
        ("ABORTED SETTLED", "PENDING_SETTLEMENT"),
        ("CLOSED ABORTED", "ABORTED"),
        ("SETTLED SETTLED", "SETTLED"),
    ],
)
def test_a_window_is_what_its_contents_are(contents: str, state: str) -> None:
    assert window_state(contents.split()) == WindowState(state)


def test_the_api_takes_the_states_that_an_account_may_be_asked_to_take() -> None:
    assert set(get_args(AccountState)) == {State.PENDING_SETTLEMENT, *STEPS}
