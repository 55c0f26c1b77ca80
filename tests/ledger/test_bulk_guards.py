"""The guards of the bulk tables: each refuses a wrong statement. Without the guard, check_ledger finds the break."""

import pytest
from django.db import DatabaseError, connection, transaction

from tests.bulks import bulk_fulfil, bulk_prepare, bulk_reject, run_bulk
from tests.ledger.test_guards import Guard, prove
from tests.world import World

_ACCEPTED = "(SELECT bulk_transfer_id FROM ledger_bulktransfer WHERE state = 'ACCEPTED')"
_COMPLETED = "(SELECT bulk_transfer_id FROM ledger_bulktransfer WHERE state = 'COMPLETED')"
_AN_ITEM = f"(SELECT min(transfer_id) FROM ledger_transfer WHERE bulk_id = {_COMPLETED})"
_ANSWERED = "answer = 'x', answer_digest = 'x', completed_at = now()"


def _copy(**changes: str) -> str:
    """A bulk like the accepted one, stored beside it with something wrong."""
    values = {"item_count": "1", "reserved_items": "1", "state": "'ACCEPTED'"} | changes
    columns = "bulk_quote_id, payer_id, payee_id, payee_name, expires_at, ids_used_before, version, digest, request"
    return f"""INSERT INTO ledger_bulktransfer (bulk_transfer_id, {columns}, request_headers, {", ".join(values)})
               SELECT 'another', {columns}, request_headers, {", ".join(values.values())} FROM ledger_bulktransfer
               WHERE state = 'ACCEPTED'"""


_REFUSED = {"reason": "'NDC'", "error_code": "'4200'", "completed_at": "now()"}

GUARDS = [
    Guard(
        "a_bulk_has_one_to_a_thousand_items",
        "ledger_bulktransfer",
        _copy(state="'REJECTED'", item_count="1001", reserved_items="0", **_REFUSED),
        "every_item_of_a_bulk_has_its_outcome",
    ),
    Guard(
        "a_bulk_of_which_nothing_was_reserved_is_rejected",
        "ledger_bulktransfer",
        _copy(reserved_items="0"),
        "every_item_of_a_bulk_has_its_outcome",
    ),
    Guard(
        "a_bulk_that_ended_says_when",
        "ledger_bulktransfer",
        _copy(state="'REJECTED'", **(_REFUSED | {"completed_at": "NULL"})),
        "everyone_is_told_of_a_bulk",
    ),
    Guard(
        "a_rejected_bulk_says_why",
        "ledger_bulktransfer",
        f"UPDATE ledger_bulktransfer SET state = 'REJECTED', {_ANSWERED} WHERE bulk_transfer_id = {_ACCEPTED}",
        "items_end_with_their_bulk",
    ),
    Guard(
        "a_completed_bulk_was_answered_in_time",
        "ledger_bulktransfer",
        f"""UPDATE ledger_bulktransfer SET state = 'COMPLETED', {_ANSWERED}, completed_at = expires_at
            WHERE bulk_transfer_id = {_ACCEPTED}""".replace("completed_at = now(), ", ""),
        "items_end_with_their_bulk",
    ),
    Guard(
        "a_bulk_moves_only_along_its_states",
        "ledger_bulktransfer",
        f"""UPDATE ledger_bulktransfer SET state = 'REJECTED', reason = 'EXPIRED', error_code = '3303'
            WHERE bulk_transfer_id = {_COMPLETED}""",
        "items_end_with_their_bulk",
        is_trigger=True,
    ),
    Guard(
        "an_item_stays_in_its_bulk",
        "ledger_transfer",
        f"""UPDATE ledger_transfer
            SET bulk_id = NULL, state = 'ABORTED', reason = 'EXPIRED', error_code = '3303', completed_at = now()
            WHERE state = 'RESERVED' AND bulk_id = {_ACCEPTED}""",
        "every_item_of_a_bulk_has_its_outcome",
        is_trigger=True,
    ),
    Guard(
        "an_item_has_the_parties_and_expiry_of_its_bulk",
        "ledger_transfer",
        f"""INSERT INTO ledger_transfer (transfer_id, payer_id, payee_id, payee_name, currency, amount, state,
                                         condition, expires_at, version, digest, payer_account_id, payee_account_id,
                                         wants_patch, bulk_id)
            SELECT 'another', payee_id, payer_id, payee_name, currency, amount, 'RESERVED', condition, expires_at,
                   version, digest, payee_account_id, payer_account_id, false, bulk_id
            FROM ledger_transfer WHERE transfer_id = {_AN_ITEM}""",
        "items_have_the_terms_of_their_bulk",
    ),
]


def live(world: World) -> None:
    """Leaves a completed, a rejected and an accepted bulk."""
    first, second = bulk_prepare(world, "green", "blue", [10, 20]), bulk_prepare(world, "green", "blue", [30])
    for command in (first, bulk_fulfil(world, "blue", first), second, bulk_reject(world, "blue", second)):
        run_bulk(command)
    run_bulk(bulk_prepare(world, "green", "red", [40, 2000]))


@pytest.fixture
def lived_in(db: None) -> World:
    return World.after(live)


@pytest.mark.parametrize("guard", GUARDS, ids=lambda guard: guard.name)
def test_what_a_guard_refuses_would_break_an_invariant(lived_in: World, guard: Guard) -> None:
    prove(guard, lived_in)


def test_a_bulk_is_never_deleted(lived_in: World) -> None:
    with pytest.raises(DatabaseError, match="Cannot delete"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("DELETE FROM ledger_bulktransfer WHERE state = 'REJECTED'")
    assert lived_in.breaks() == []
