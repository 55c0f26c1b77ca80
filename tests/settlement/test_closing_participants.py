"""Closing a participant: it must be empty and settled, with nothing reserved.

The services and the database enforce this.
"""

import uuid

import pytest
from django.db import DatabaseError, connection, transaction

from fspiop.errors import FspiopError
from hub.audit.models import Entry as AuditEntry
from hub.participants import offboarding
from hub.participants import services as participants
from hub.participants.models import Participant
from ledger import accounts_and_funds
from ledger.commands_and_outcomes import Committed, Refused
from ledger.models import Account, Entry
from settlement.services import closing_participants
from settlement.services.windows import close_window
from tests import fx_world, proofs
from tests.world import World, amount, fulfil, prepare, reject, run

CLOSE_ACCOUNTS = "UPDATE ledger_account SET is_active = false, closed_at = now() WHERE participant_id = %s"
CLOSE = """UPDATE participants_participant SET is_active = false, may_send = false, may_receive = false,
           leaving_since = now(), closed_at = now() WHERE id = %s"""


def green() -> Participant:
    return Participant.objects.get(name="green")


def pay_out(world: World, name: str = "green") -> None:
    """All that the participant holds at the settlement bank leaves it."""
    account = world.account(name, "SETTLEMENT")
    held = int(account.posted_credits - account.posted_debits)
    movement = {"transfer_id": str(uuid.uuid4()), "reason": "leaves", "actor": "test"}
    accounts_and_funds.prepare_funds_out(account, amount=held, external_reference="", **movement)
    accounts_and_funds.end_funds_out(account, commits=True, **movement)


def refused(statement: str, *parameters: object) -> str:
    """What the database says to a statement that it must refuse."""
    with pytest.raises(DatabaseError) as found, transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement, parameters)
    return str(found.value)


def do(statement: str, *parameters: object) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)


def test_who_leaves_begins_nothing_and_what_is_reserved_ends(world: World) -> None:
    reserved = prepare(world, "green", "blue", 10)
    run(reserved)
    offboarding.begin(green(), actor="test")
    assert isinstance(run(prepare(world, "green", "blue", 10)), Refused)
    assert isinstance(run(prepare(world, "blue", "green", 10)), Refused)
    assert closing_participants.left_of(green()).reserved == 1
    assert isinstance(run(fulfil(world, "blue", reserved.transfer_id)), Committed)
    assert closing_participants.left_of(green()).reserved == 0
    with pytest.raises(FspiopError, match="is leaving"):
        participants.set_directions(green(), may_send=True, may_receive=True, actor="test")
    offboarding.stay(green(), actor="test")
    assert (green().may_send, green().may_receive, green().leaving_since) == (True, True, None)


def test_an_empty_participant_is_closed_and_its_rows_stay(world: World) -> None:
    credential = proofs.register_key("green")
    pay_out(world)
    entries = Entry.objects.count()
    offboarding.begin(green(), actor="test")
    closing_participants.revoke_all(green(), actor="test")
    credential.refresh_from_db()
    assert credential.revoked_at is not None
    closing_participants.close(green(), actor="asha, approved by juma")
    assert (green().is_active, green().closed_at is None) == (False, False)
    assert not Account.objects.filter(participant=green(), closed_at__isnull=True).exists()
    assert Entry.objects.count() == entries
    assert AuditEntry.objects.get(action="participant_closed").actor == "asha, approved by juma"
    assert world.breaks() == []


def test_nothing_brings_back_who_was_closed(world: World) -> None:
    pay_out(world)
    offboarding.begin(green(), actor="test")
    closing_participants.close(green(), actor="test")
    account = world.account("green", "SETTLEMENT")
    attempts = [
        lambda: participants.set_active(green(), is_active=True, actor="test"),
        lambda: participants.set_directions(green(), may_send=True, may_receive=True, actor="test"),
        lambda: offboarding.stay(green(), actor="test"),
        lambda: closing_participants.close(green(), actor="test"),
        lambda: accounts_and_funds.set_account_active(world.account("green"), is_active=True, actor="test"),
        lambda: accounts_and_funds.change_ndc(green(), currency="TZS", ndc=1, alarm_percentage=None, actor="test"),
        lambda: accounts_and_funds.register_participant(name="green", currency="KES", is_proxy=False, actor="test"),
        lambda: accounts_and_funds.record_funds_in(
            account, transfer_id="x", amount=1, reason="", external_reference="", actor="test"
        ),
        lambda: proofs.register_key("green"),
    ]
    for attempt in attempts:
        with pytest.raises(FspiopError, match="closed for good"):
            attempt()
    refused("UPDATE participants_participant SET is_active = true WHERE id = %s", green().pk)
    refused("UPDATE participants_participant SET closed_at = NULL WHERE id = %s", green().pk)
    refused("UPDATE ledger_account SET posted_credits = posted_credits + 1 WHERE id = %s", account.pk)
    refused("UPDATE ledger_account SET closed_at = NULL, is_active = true WHERE id = %s", account.pk)


def test_who_is_not_leaving_is_neither_revoked_nor_closed(world: World) -> None:
    pay_out(world)
    for step in (closing_participants.revoke_all, closing_participants.close):
        with pytest.raises(FspiopError, match="is not leaving"):
            step(green(), actor="test")


@pytest.mark.parametrize("side", ["payer", "payee"])
def test_nobody_is_closed_while_something_is_reserved(world: World, side: str) -> None:
    pay_out(world) if side == "payee" else None
    command = prepare(world, *(("green", "blue") if side == "payer" else ("blue", "green")), 10)
    run(command)
    offboarding.begin(green(), actor="test")
    for step in (closing_participants.revoke_all, closing_participants.close):
        with pytest.raises(FspiopError):
            step(green(), actor="test")
    if side == "payer":
        assert "a_closed_account_is_empty" in refused(CLOSE_ACCOUNTS, green().pk)
        return
    do(CLOSE_ACCOUNTS, green().pk)  # its own accounts are empty: the transfer is held on the payer's
    assert "something is reserved" in refused(CLOSE, green().pk)
    run(reject(world, "green", command.transfer_id))
    do(CLOSE, green().pk)


def test_an_fxp_is_not_closed_while_its_conversion_waits(world: World) -> None:
    fx_world.open_scheme(world)
    fx_world.run(fx_world.fx_prepare(world, str(uuid.uuid4())))
    fxp = Participant.objects.get(name="fxp")
    offboarding.begin(fxp, actor="test")
    assert closing_participants.left_of(fxp).reserved == 1
    with pytest.raises(FspiopError):
        closing_participants.close(fxp, actor="test")


def test_nobody_is_closed_with_a_position_or_with_funds(world: World) -> None:
    command = prepare(world, "green", "blue", 10)
    run(command)
    run(fulfil(world, "blue", command.transfer_id))
    offboarding.begin(green(), actor="test")
    left = closing_participants.left_of(green())
    assert left.positions == [("TZS", amount(10))]
    assert left.funds == [("TZS", amount(5000))]
    for step in (closing_participants.revoke_all, closing_participants.close):
        with pytest.raises(FspiopError):
            step(green(), actor="test")
    assert "not closed" in refused(CLOSE, green().pk)
    # grey has funds and no payment: only the account's own emptiness stands in the way.
    assert "a_closed_account_is_empty" in refused(CLOSE_ACCOUNTS, world.ids["grey"])


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("is_closed", [False, True])
def test_nobody_is_closed_while_a_window_that_nets_to_zero_for_it_waits(
    committed_world: World, is_closed: bool
) -> None:
    world = committed_world
    for payer, payee in (("green", "blue"), ("blue", "green")):
        command = prepare(world, payer, payee, 10)
        run(command)
        run(fulfil(world, payee, command.transfer_id))
    if is_closed:
        close_window(reason="end of day", actor="test")
    pay_out(world)
    offboarding.begin(green(), actor="test")
    left = closing_participants.left_of(green())
    assert (left.positions, left.funds, len(left.windows)) == ([], [], 1)
    for step in (closing_participants.revoke_all, closing_participants.close):
        with pytest.raises((FspiopError, DatabaseError)):
            step(green(), actor="test")
    assert "is not settled" in refused(CLOSE_ACCOUNTS, green().pk)
    assert green().closed_at is None
    assert not Account.objects.filter(closed_at__isnull=False).exists()


def test_nobody_is_closed_who_could_still_prove_itself(world: World) -> None:
    proofs.register_key("green")
    pay_out(world)
    offboarding.begin(green(), actor="test")
    with pytest.raises(FspiopError, match="not revoked"):
        closing_participants.close(green(), actor="test")
    assert not Account.objects.filter(closed_at__isnull=False).exists()


def test_the_database_holds_that_who_leaves_begins_no_payment(world: World) -> None:
    text = refused("UPDATE participants_participant SET leaving_since = now() WHERE id = %s", green().pk)
    assert "who_leaves_begins_no_payment" in text
    text = refused("UPDATE participants_participant SET closed_at = now() WHERE name = 'grey'")
    assert "who_is_closed_has_left" in text or "not closed" in text
