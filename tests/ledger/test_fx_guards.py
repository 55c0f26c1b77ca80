"""Each guard of the conversions' tables is needed and works. `test_guards` does the same for transfers."""

import uuid

import pytest

from tests.fx_world import agreed, fx_prepare, open_scheme, run
from tests.ledger.test_guards import Guard, prove
from tests.world import World, fulfil, prepare

_COMMITTED = "(SELECT commit_request_id FROM ledger_fxtransfer WHERE state = 'COMMITTED')"
_AGREED = "(SELECT commit_request_id FROM ledger_fxtransfer WHERE state = 'AGREED')"
_RESERVED = "(SELECT commit_request_id FROM ledger_fxtransfer WHERE state = 'RESERVED')"
_COPY = """INSERT INTO ledger_fxtransfer
               (commit_request_id, determining_transfer_id, side, initiator_id, fxp_id, fxp_name, source_currency,
                source_amount, target_currency, target_amount, state, condition, expires_at, held_until, version,
                digest, debit_account_id, credit_account_id, bridge_account_id)
           SELECT 'another', determining_transfer_id, side, initiator_id, fxp_id, fxp_name, {source_currency},
                  {source_amount}, target_currency, target_amount, 'RESERVED', condition, expires_at, held_until,
                  version, digest, {debit}, credit_account_id, bridge_account_id
           FROM ledger_fxtransfer WHERE state = '{state}'"""


def _copy(state: str = "COMMITTED", **changes: str) -> str:
    values = {"source_currency": "source_currency", "source_amount": "source_amount", "debit": "debit_account_id"}
    return _COPY.format(state=state, **(values | changes))


GUARDS = [
    Guard(
        "a_conversion_commits_with_its_transfer",  # I26
        "ledger_fxtransfer",
        f"""UPDATE ledger_fxtransfer SET state = 'COMMITTED', completed_at = now() WHERE commit_request_id = {_AGREED};
            SET CONSTRAINTS ALL IMMEDIATE""",
        "a_conversion_ends_with_its_transfer",
        is_trigger=True,
    ),
    Guard(
        "a_transfer_ends_with_its_conversions",  # I26
        "ledger_transfer",
        """UPDATE ledger_transfer SET state = 'ABORTED', reason = 'EXPIRED', error_code = '3303', completed_at = now()
           WHERE state = 'RESERVED'; SET CONSTRAINTS ALL IMMEDIATE""",
        "a_conversion_ends_with_its_transfer",
        is_trigger=True,
    ),
    Guard(
        "a_conversion_moves_only_along_its_states",  # I5
        "ledger_fxtransfer",
        f"""UPDATE ledger_fxtransfer SET state = 'ABORTED', reason = 'EXPIRED', error_code = '3303'
            WHERE commit_request_id = {_COMMITTED}""",
        "a_conversion_ends_with_its_transfer",
        is_trigger=True,
    ),
    Guard(
        "a_conversion_moves_only_along_its_states",  # the terms stand
        "ledger_fxtransfer",
        "UPDATE ledger_fxtransfer SET target_amount = target_amount + 1 WHERE state = 'AGREED'",
        "what_is_converted_is_what_is_paid",
        is_trigger=True,
    ),
    Guard(
        "one_live_conversion_per_transfer_and_initiator",
        "ledger_fxtransfer",
        _copy("RESERVED"),
        "reservations_are_the_sums_of_reserved_transfers",
    ),
    Guard(
        "a_conversion_is_of_positive_amounts",
        "ledger_fxtransfer",
        _copy(source_amount="-1"),
        "reservations_are_the_sums_of_reserved_transfers",
    ),
    Guard(
        "a_conversion_is_of_two_currencies",
        "ledger_fxtransfer",
        _copy(source_currency="target_currency"),
        "reservations_are_the_sums_of_reserved_transfers",
    ),
    Guard(
        "a_conversion_that_was_reserved_names_its_accounts",
        "ledger_fxtransfer",
        _copy(debit="NULL"),
        "history_leads_to_the_conversions_state",
    ),
    Guard(
        "an_agreed_conversion_has_its_fulfilment",
        "ledger_fxtransfer",
        f"UPDATE ledger_fxtransfer SET state = 'AGREED', agreed_at = now() WHERE commit_request_id = {_RESERVED}",
        "history_leads_to_the_conversions_state",
    ),
    Guard(
        "no_conversion_is_agreed_late",  # I11
        "ledger_fxtransfer",
        f"""UPDATE ledger_fxtransfer
            SET state = 'AGREED', agreed_at = expires_at, fulfilment = 'x', fulfil_digest = 'x'
            WHERE commit_request_id = {_RESERVED}""",
        "no_conversion_was_agreed_late",
    ),
    Guard(
        "a_conversion_that_ended_says_when",
        "ledger_fxtransfer",
        f"""UPDATE ledger_fxtransfer SET state = 'ABORTED', reason = 'EXPIRED', error_code = '3303'
            WHERE commit_request_id = {_RESERVED}""",
        "history_leads_to_the_conversions_state",
    ),
    Guard(
        "an_aborted_conversion_says_why",
        "ledger_fxtransfer",
        f"UPDATE ledger_fxtransfer SET state = 'ABORTED', completed_at = now() WHERE commit_request_id = {_RESERVED}",
        "history_leads_to_the_conversions_state",
    ),
    Guard(
        "a_conversion_ends_once",  # I5
        "ledger_fxtransferevent",
        f"INSERT INTO ledger_fxtransferevent (fx_transfer_id, state, at) SELECT {_COMMITTED}, 'ABORTED', now()",
        "history_leads_to_the_conversions_state",
    ),
    Guard(
        "a_conversion_is_in_a_state_once",  # I6
        "ledger_fxtransferevent",
        f"INSERT INTO ledger_fxtransferevent (fx_transfer_id, state, at) SELECT {_AGREED}, 'AGREED', now()",
        "history_leads_to_the_conversions_state",
    ),
    Guard(
        "history_of_conversions_is_only_ever_added",  # I19
        "ledger_fxtransferevent",
        "DELETE FROM ledger_fxtransferevent",
        "history_leads_to_the_conversions_state",
        is_trigger=True,
    ),
    Guard(
        "one_entry_of_each_kind_per_transfer",  # I6
        "ledger_entry",
        """INSERT INTO ledger_entry
               (kind, debit_account_id, credit_account_id, currency, amount, transfer_id, window_id)
           SELECT kind, debit_account_id, credit_account_id, currency, amount, transfer_id, window_id
           FROM ledger_entry WHERE kind = 'FX_TRANSFER'""",
        "balances_are_the_sums_of_entries",
    ),
    Guard(
        "a_commit_is_in_a_window",  # I14
        "ledger_entry",
        """INSERT INTO ledger_entry (kind, debit_account_id, credit_account_id, currency, amount, transfer_id)
           SELECT kind, debit_account_id, credit_account_id, currency, amount, 'another'
           FROM ledger_entry WHERE kind = 'FX_TRANSFER'""",
        "every_commit_is_in_one_window",
    ),
]


def live(world: World) -> None:
    """Leaves a committed conversion, one that is agreed with its transfer under way, and one that is reserved."""
    open_scheme(world)
    for ends in (True, False):
        c = agreed(world)
        t = prepare(world, "green", "blue", 5, currency="KES", transfer_id=c.determining_transfer_id)
        run(t)
        if ends:
            run(fulfil(world, "blue", t.transfer_id))
    run(fx_prepare(world, str(uuid.uuid4())))


@pytest.fixture
def lived_in(db: None) -> World:
    return World.after(live)


@pytest.mark.parametrize("guard", GUARDS, ids=lambda guard: guard.name)
def test_what_a_guard_of_conversions_refuses_would_break_an_invariant(lived_in: World, guard: Guard) -> None:
    prove(guard, lived_in)
