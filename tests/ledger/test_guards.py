"""Each guard of the ledger's tables is needed and works.

With the guard, the database refuses a wrong statement. Without it, the same statement passes and `check_ledger` reports
the break. Each guard that is removed makes its test fail.
"""

from dataclasses import dataclass

import pytest
from django.db import DatabaseError, connection, transaction

from ledger import accounts_and_funds
from tests.world import World, fulfil, prepare, run


@dataclass(frozen=True)
class Guard:
    """A guard by its name, a statement that it refuses, and the invariant that is broken where it is missing."""

    name: str
    table: str
    statement: str
    found_by: str
    is_trigger: bool = False


_ENTRY = """INSERT INTO ledger_entry
                (kind, debit_account_id, credit_account_id, currency, amount, transfer_id, window_id)
            SELECT {kind}, {debit}, {credit}, {currency}, {amount}, {transfer}, {window}"""


def _entry(**changes: str) -> str:
    values = {
        "kind": "'TRANSFER'",
        "debit": "(SELECT debit_account_id FROM ledger_entry WHERE kind = 'TRANSFER' LIMIT 1)",
        "credit": "(SELECT credit_account_id FROM ledger_entry WHERE kind = 'TRANSFER' LIMIT 1)",
        "currency": "'TZS'",
        "amount": "10000",
        "transfer": "'no-such-transfer'",
        "window": "(SELECT id FROM ledger_settlementwindow WHERE state = 'OPEN')",
    }
    return _ENTRY.format(**(values | changes))


_COMMITTED = "(SELECT transfer_id FROM ledger_transfer WHERE state = 'COMMITTED' LIMIT 1)"
_RESERVED = "(SELECT transfer_id FROM ledger_transfer WHERE state = 'RESERVED' LIMIT 1)"
_KES = "(SELECT id FROM ledger_account WHERE currency = 'KES')"
_SETTLEMENT = "(SELECT min(id) FROM ledger_account WHERE type = 'SETTLEMENT')"

GUARDS = [
    Guard(
        "an_entry_debits_an_account_of_its_currency",  # I1
        "ledger_entry",
        _entry(currency="'KES'", credit=_KES),
        "every_commit_has_its_entry",
    ),
    Guard(
        "an_entry_credits_an_account_of_its_currency",  # I1
        "ledger_entry",
        _entry(currency="'KES'", debit=_KES),
        "every_commit_has_its_entry",
    ),
    Guard("an_entry_is_of_a_positive_amount", "ledger_entry", _entry(amount="-10000"), "every_commit_has_its_entry"),
    Guard(
        "an_entry_is_between_two_accounts",
        "ledger_entry",
        _entry(credit="(SELECT debit_account_id FROM ledger_entry WHERE kind = 'TRANSFER' LIMIT 1)"),
        "balances_are_the_sums_of_entries",
    ),
    Guard(
        "one_entry_of_each_kind_per_transfer",  # I6
        "ledger_entry",
        _entry(transfer=_COMMITTED),
        "balances_are_the_sums_of_entries",
    ),
    Guard("a_commit_is_in_a_window", "ledger_entry", _entry(window="NULL"), "every_commit_is_in_one_window"),  # I14
    Guard(
        "entries_are_only_ever_added",  # I19
        "ledger_entry",
        "UPDATE ledger_entry SET amount = amount + 10000 WHERE kind = 'TRANSFER'",
        "balances_are_the_sums_of_entries",
        is_trigger=True,
    ),
    Guard(
        "liquidity_is_never_negative",  # I4
        "ledger_account",
        f"UPDATE ledger_account SET posted_debits = posted_credits + 1 WHERE id = {_SETTLEMENT}",
        "liquidity_is_never_negative",
    ),
    Guard(
        "a_reservation_sum_is_not_negative",
        "ledger_account",
        "UPDATE ledger_account SET pending_debits = -1 WHERE type = 'POSITION'",
        "reservations_are_the_sums_of_reserved_transfers",
    ),
    Guard(
        "an_account_keeps_its_identity",
        "ledger_account",
        "UPDATE ledger_account SET posted_credits = posted_credits - 1 WHERE type = 'POSITION' AND posted_credits > 0",
        "books_balance",
        is_trigger=True,
    ),
    Guard(
        "a_transfer_moves_only_along_its_states",  # I5
        "ledger_transfer",
        f"""UPDATE ledger_transfer SET state = 'ABORTED', reason = 'EXPIRED', error_code = '3303'
            WHERE transfer_id = {_COMMITTED}""",
        "every_commit_has_its_entry",
        is_trigger=True,
    ),
    Guard(
        "a_committed_transfer_has_its_fulfilment",
        "ledger_transfer",
        f"UPDATE ledger_transfer SET state = 'COMMITTED', completed_at = now() WHERE transfer_id = {_RESERVED}",
        "every_commit_has_its_entry",
    ),
    Guard(
        "what_is_late_never_commits",  # I11
        "ledger_transfer",
        f"""UPDATE ledger_transfer
            SET state = 'COMMITTED', completed_at = expires_at, fulfilment = 'x', fulfil_digest = 'x'
            WHERE transfer_id = {_RESERVED}""",
        "nothing_committed_late",
    ),
    Guard(
        "an_aborted_transfer_says_why",
        "ledger_transfer",
        f"UPDATE ledger_transfer SET state = 'ABORTED', completed_at = now() WHERE transfer_id = {_RESERVED}",
        "history_leads_to_the_state",
    ),
    Guard(
        "a_transfer_ends_once",  # I5
        "ledger_transferevent",
        f"INSERT INTO ledger_transferevent (transfer_id, state, at) SELECT {_COMMITTED}, 'ABORTED', now()",
        "history_leads_to_the_state",
    ),
    Guard(
        "a_transfer_is_reserved_once",  # I6
        "ledger_transferevent",
        f"INSERT INTO ledger_transferevent (transfer_id, state, at) SELECT {_RESERVED}, 'RESERVED', now()",
        "history_leads_to_the_state",
    ),
    Guard(
        "history_is_only_ever_added",  # I19
        "ledger_transferevent",
        "DELETE FROM ledger_transferevent",
        "history_leads_to_the_state",
        is_trigger=True,
    ),
    Guard(
        "a_movement_of_funds_moves_only_along_its_states",  # I5
        "ledger_fundsmovement",
        "UPDATE ledger_fundsmovement SET amount = amount + 10000 WHERE kind = 'FUNDS_IN'",
        "every_movement_of_funds_has_its_entry",
        is_trigger=True,
    ),
    Guard(
        "a_movement_of_funds_moves_only_along_its_states",  # none begins paid out
        "ledger_fundsmovement",
        f"""INSERT INTO ledger_fundsmovement
                (transfer_id, account_id, kind, amount, state, reason, external_reference, completed_at)
            VALUES ('forged', {_SETTLEMENT}, 'FUNDS_OUT', 10000, 'COMMITTED', '', '', now())""",
        "every_movement_of_funds_has_its_entry",
        is_trigger=True,
    ),
    Guard(
        "a_movement_of_funds_is_never_deleted",  # I19
        "ledger_fundsmovement",
        "DELETE FROM ledger_fundsmovement WHERE kind = 'FUNDS_IN'",
        "every_movement_of_funds_has_its_entry",
        is_trigger=True,
    ),
    Guard(
        "one_window_is_open",
        "ledger_settlementwindow",
        "INSERT INTO ledger_settlementwindow (state, reason) VALUES ('OPEN', '')",
        "one_window_is_open",
    ),
]


def live(world: World) -> None:
    """Leaves one committed and one reserved transfer, and an account in another currency."""
    accounts_and_funds.open_hub_account(account_type="HUB_RECONCILIATION", currency="KES", actor="test")
    first, second = prepare(world, "green", "blue", 100), prepare(world, "green", "blue", 50)
    run(first)
    run(fulfil(world, "blue", first.transfer_id))
    run(second)


@pytest.fixture
def lived_in(db: None) -> World:
    return World.after(live)


@pytest.mark.parametrize("guard", GUARDS, ids=lambda guard: guard.name)
def test_what_a_guard_refuses_would_break_an_invariant(lived_in: World, guard: Guard) -> None:
    prove(guard, lived_in)


def prove(guard: Guard, lived_in: World) -> None:
    """With the guard the statement is refused; without it the statement passes and the invariant finds it."""
    with pytest.raises(DatabaseError) as refused, transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(guard.statement)
    if not guard.is_trigger:
        assert guard.name in str(refused.value)
    assert lived_in.breaks() == []

    _take_out(guard)
    with connection.cursor() as cursor:
        cursor.execute(guard.statement)
        assert cursor.rowcount >= 1
    assert guard.found_by in lived_in.breaks()


def _take_out(guard: Guard) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")  # PostgreSQL alters no table with checks still to come
        if guard.is_trigger:
            cursor.execute("SELECT tgname FROM pg_trigger WHERE tgname ~ %s", [f"^pgtrigger_{guard.name}_[0-9a-f]+$"])
            names = [row[0] for row in cursor.fetchall()]
            assert names, "there is no such trigger"
            for name in names:
                cursor.execute(f'ALTER TABLE {guard.table} DISABLE TRIGGER "{name}"')
            return
        cursor.execute("SELECT 1 FROM pg_constraint WHERE conname = %s", [guard.name])
        if cursor.fetchone():
            cursor.execute(f"ALTER TABLE {guard.table} DROP CONSTRAINT {guard.name}")
        else:
            cursor.execute(f"DROP INDEX {guard.name}")
