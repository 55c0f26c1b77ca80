"""Settling and closing lock rows before the audit trail, as every other change does. So no two changes wait for each
other."""

import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from django.db import transaction
from django.db.models import QuerySet

from hub.audit import record
from hub.participants import offboarding
from hub.participants.models import Participant
from hub.sql_execution import execute
from ledger.models import Account, SettlementWindow
from settlement import services
from settlement.models import Settlement
from settlement.services import closing_participants
from settlement.states import State
from tests.concurrency.together import together
from tests.settlement.operator_steps import add_model, close, pay
from tests.settlement.test_bank_payments import settle, settlement_with_statement
from tests.settlement.test_closing_participants import green, pay_out
from tests.world import World

_WAITS = "SELECT count(*) FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY(pg_blocking_pids(pid))"


def new_settlement(world: World) -> Settlement:
    add_model()
    pay(world, "green", "blue", 100)
    return services.create(model_name="DEFERREDNET", window_ids=[close()], reason="test", actor="test")


@transaction.atomic
def advance(settlement: Settlement, *, to: State) -> None:
    """As the approval does, in its transaction."""
    services.advance(settlement.pk, to=to, reason="test", actor="test")


def accounts() -> QuerySet[Account]:
    return Account.objects.filter(participant__name="green")


def windows() -> QuerySet[SettlementWindow]:
    return SettlementWindow.objects.all()


def leaving(world: World) -> Participant:
    pay_out(world)
    offboarding.begin(green(), actor="test")
    return green()


def participants() -> QuerySet[Participant]:
    return Participant.objects.filter(name="green")


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("make", "end", "locked"),
    [
        (settlement_with_statement, settle, accounts),
        (settlement_with_statement, settle, windows),
        (new_settlement, partial(advance, to=State.PS_TRANSFERS_COMMITTED), accounts),
        (new_settlement, partial(advance, to=State.SETTLED), windows),
        (leaving, partial(closing_participants.close, actor="test"), participants),
    ],
    ids=["payments, accounts", "payments, windows", "steps, accounts", "steps, windows", "closing, participant"],
)
def test_a_change_waits_for_other_changes_without_the_audit_trail(
    committed_world: World,
    make: Callable[[World], Any],
    end: Callable[[Any], object],
    locked: Callable[[], QuerySet[Any]],
) -> None:
    subject = make(committed_world)
    is_locked = threading.Event()

    @transaction.atomic
    def change() -> str:
        """Locks rows first and the audit trail after them, once the other change waits for the rows."""
        list(locked().select_for_update(no_key=True).order_by("pk"))
        is_locked.set()
        until = time.monotonic() + 10
        while execute(_WAITS).fetchone() == (0,):
            assert time.monotonic() < until, "the other change does not wait for the rows"
            time.sleep(0.01)
        record("tried", subject="green", actor="test")
        return "changed"

    def ends() -> str:
        assert is_locked.wait(10)
        end(subject)
        return "ended"

    assert together([change, ends]) == ["changed", "ended"]
    assert committed_world.breaks() == []
