"""Each guard of settlement's tables is needed and works. tests.ledger.test_guards does the same for the ledger."""

import pytest

from tests.ledger.test_guards import Guard, prove
from tests.settlement.operator_steps import add_model, close, onboard_in, pay, settle, settle_all
from tests.world import World

_SETTLED = "(SELECT id FROM settlement_settlement WHERE state = 'SETTLED')"
_PENDING = "(SELECT id FROM settlement_settlement WHERE state = 'PENDING_SETTLEMENT')"
_WINDOW = "(SELECT min(window_id) FROM settlement_windowcontent)"

GUARDS = [
    Guard(
        "a_content_is_settled_by_one_settlement",  # I15
        "settlement_inclusion",
        f"""INSERT INTO settlement_inclusion (settlement_id, content_id, is_released)
            SELECT {_PENDING}, content_id, false FROM settlement_inclusion WHERE settlement_id = {_SETTLED}""",
        "what_is_settled_is_settled_once",
    ),
    Guard(
        "one_content_per_window_currency_and_type",  # I15
        "settlement_windowcontent",
        f"""INSERT INTO settlement_windowcontent (window_id, currency, ledger_account_type, state, is_gross)
            SELECT {_WINDOW}, 'TZS', 'POSITION', 'CLOSED', false""",
        "a_window_is_what_its_contents_are",
    ),
    Guard(
        "gross_is_settled_from_the_start",
        "settlement_windowcontent",
        f"""INSERT INTO settlement_windowcontent (window_id, currency, ledger_account_type, state, is_gross)
            SELECT {_WINDOW}, 'KES', 'POSITION', 'CLOSED', true""",
        "what_is_settled_is_settled_once",
    ),
    Guard(
        "a_content_moves_only_along_its_states",
        "settlement_windowcontent",
        "UPDATE settlement_windowcontent SET state = 'PENDING_SETTLEMENT' WHERE state = 'SETTLED'",
        "what_is_settled_is_settled_once",
        is_trigger=True,
    ),
    Guard(
        "one_total_per_content_and_account",  # I15
        "settlement_contenttotal",
        """INSERT INTO settlement_contenttotal (content_id, account_id, debits, credits)
           SELECT content_id, account_id, 1, 0 FROM settlement_contenttotal LIMIT 1""",
        "totals_are_the_sums_of_entries",
    ),
    Guard(
        "totals_are_only_ever_added",  # I15
        "settlement_contenttotal",
        "UPDATE settlement_contenttotal SET debits = debits + 1",
        "totals_are_the_sums_of_entries",
        is_trigger=True,
    ),
    Guard(
        "a_settlement_moves_only_along_its_states",
        "settlement_settlement",
        "UPDATE settlement_settlement SET state = 'PS_TRANSFERS_RESERVED' WHERE state = 'SETTLED'",
        "a_settlement_is_as_far_as_its_accounts",
        is_trigger=True,
    ),
    Guard(
        "an_account_moves_only_along_its_states",
        "settlement_settlementaccount",
        "UPDATE settlement_settlementaccount SET net = net + 1 WHERE net > 0",
        "a_settlement_is_what_its_windows_hold",
        is_trigger=True,
    ),
    Guard(
        "an_account_is_in_a_settlement_once",
        "settlement_settlementaccount",
        """INSERT INTO settlement_settlementaccount
               (settlement_id, account_id, net, transfer_id, state, reason, external_reference)
           SELECT settlement_id, account_id, net + 1, 'another', state, '', ''
           FROM settlement_settlementaccount LIMIT 1""",
        "a_settlement_is_what_its_windows_hold",
    ),
    Guard(
        "a_settlements_history_is_only_ever_added",  # I19
        "settlement_settlementevent",
        "UPDATE settlement_settlementevent SET state = 'ABORTED' WHERE state = 'SETTLED'",
        "a_settlements_history_leads_to_its_state",
        is_trigger=True,
    ),
    Guard(
        "one_entry_of_each_kind_per_transfer",  # I15
        "ledger_entry",
        """INSERT INTO ledger_entry (kind, debit_account_id, credit_account_id, currency, amount, transfer_id)
           SELECT kind, debit_account_id, credit_account_id, currency, amount + 1, transfer_id
           FROM ledger_entry WHERE kind = 'NET_SENDER' LIMIT 1""",
        "a_settlement_is_posted_as_far_as_it_is",
    ),
    Guard(
        "what_settles_is_in_no_window",  # I15
        "ledger_entry",
        f"""INSERT INTO ledger_entry
               (kind, debit_account_id, credit_account_id, currency, amount, transfer_id, window_id)
           SELECT kind, debit_account_id, credit_account_id, currency, amount, 'another', {_WINDOW}
           FROM ledger_entry WHERE kind = 'NET_SENDER' LIMIT 1""",
        "totals_are_the_sums_of_entries",
    ),
]


def live(world: World) -> None:
    """Leaves a settled and a pending settlement, and one transfer that was settled at once."""
    onboard_in(world, "KES")
    assert add_model().status_code == 201
    pay(world, "green", "blue", 100)
    settle_all(settle(close()))
    pay(world, "blue", "red", 10)
    settle(close())


@pytest.fixture
def lived_in(db: None) -> World:
    return World.after(live)


@pytest.mark.parametrize("guard", GUARDS, ids=lambda guard: guard.name)
def test_what_a_guard_refuses_would_break_an_invariant(lived_in: World, guard: Guard) -> None:
    prove(guard, lived_in)


def test_every_invariant_of_settlement_is_among_those_that_check_ledger_runs() -> None:
    from ledger.invariants import INVARIANTS as RUN
    from settlement.invariants import INVARIANTS

    assert {invariant.name for invariant in INVARIANTS} <= {invariant.name for invariant in RUN}
