"""kill -9 during closing and settling: all or nothing, and the next process continues the work (faults F30)."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from django.db import connection

from ledger import invariants
from ledger.models import Entry, SettlementWindow
from settlement import services
from settlement.models import ContentTotal, Settlement, SettlementEvent, WindowContent
from settlement.states import STEPS, State
from tests.concurrency.test_settlement_races import add_model, close, create, pay, settle_all, wishes_of
from tests.world import World

# Does one thing as another process would, and dies by SIGKILL as soon as the function named has returned.
DYING = """
import django, importlib, os, signal, sys
django.setup()
from settlement import services
from settlement.decide import Wish
from settlement.models import Settlement
from settlement.states import State
where, name = sys.argv[1].rsplit(":", 1)
owner = importlib.import_module(where)
reached = getattr(owner, name)
def and_die(*arguments, **named):
    reached(*arguments, **named)
    os.kill(os.getpid(), 9)
setattr(owner, name, and_die)
what, number = sys.argv[2], int(sys.argv[3])
if what == "close":
    services.close_window(reason="killed", actor="killed")
elif what == "create":
    services.create(model_name="NET", window_ids=[number], reason="killed", actor="killed")
elif what == "abort":
    services.abort(number, reason="killed", actor="killed")
else:
    rows = Settlement.objects.get(pk=number).accounts.values_list("account__participant_id", "account_id")
    services.move(number, [Wish(*row, State(what), "killed") for row in rows], actor="killed")
"""
SETTLING = "settlement.services.settlements"
WINDOWS = "settlement.services.windows"


def die_after(function: str, what: str, number: int = 0) -> None:
    database = urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{connection.settings_dict['NAME']}").geturl()
    environ = os.environ | {"DATABASE_URL": database, "DJANGO_SETTINGS_MODULE": "hub.settings"}
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", DYING, function, what, str(number)],
        cwd=root,
        env=environ,
        capture_output=True,
        timeout=60,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()[-2000:]


def everything() -> tuple[object, ...]:
    """What settling could have changed."""
    return (
        list(SettlementWindow.objects.order_by("id").values_list("id", "state")),
        list(WindowContent.objects.order_by("id").values_list("id", "state")),
        ContentTotal.objects.count(),
        list(Settlement.objects.order_by("id").values_list("id", "state", "reason")),
        SettlementEvent.objects.count(),
        Entry.objects.count(),
    )


def broken() -> list[str]:
    return [found.invariant.name for found in invariants.find_breaks()]


@pytest.fixture
def paid(committed_world: World) -> World:
    add_model()
    pay(committed_world, "green", "blue", 100)
    return committed_world


@pytest.mark.parametrize("function", [f"{WINDOWS}:record", f"{WINDOWS}:obligations", f"{WINDOWS}:_close"])
def test_a_closer_that_is_killed_has_closed_a_window_or_not(paid: World, function: str) -> None:
    window = SettlementWindow.objects.get().pk
    die_after(function, "close")
    states = list(SettlementWindow.objects.order_by("id").values_list("state", flat=True))
    assert states == (["OPEN"] if function.endswith("record") else ["CLOSED", "OPEN"])
    assert WindowContent.objects.count() == 0
    assert broken() == []
    if len(states) == 1:
        close()
    settle_all(create(window))
    assert paid.position("green") == 0
    assert broken() == []


@pytest.mark.parametrize("function", ["_move_contents", "_remember", "record"])
def test_a_settler_that_is_killed_leaves_the_window_as_it_was(paid: World, function: str) -> None:
    window = close()
    before = everything()
    die_after(f"{SETTLING}:{function}", "create", window)
    assert everything() == before
    assert broken() == []
    settle_all(create(window))
    assert broken() == []


@pytest.mark.parametrize("function", [f"{SETTLING}:_remember", f"{SETTLING}:record", "ledger.settlement_postings:post"])
@pytest.mark.parametrize("state", STEPS[1:3])
def test_a_step_that_is_killed_has_not_been_taken(paid: World, function: str, state: State) -> None:
    settlement = create(close())
    for step in STEPS[: STEPS.index(state)]:
        services.move(settlement.pk, wishes_of(settlement, step), actor="test")
    before, position = everything(), paid.position("green")
    die_after(function, state.value, settlement.pk)
    assert everything() == before
    assert paid.position("green") == position
    assert broken() == []
    services.move(settlement.pk, wishes_of(settlement, state), actor="test")
    assert broken() == []


@pytest.mark.parametrize(
    "function", [f"{SETTLING}:_move_contents", f"{SETTLING}:record", "ledger.settlement_postings:post"]
)
def test_an_abort_that_is_killed_has_not_happened(paid: World, function: str) -> None:
    settlement = create(close())
    for step in STEPS[:2]:
        services.move(settlement.pk, wishes_of(settlement, step), actor="test")
    before = everything()
    die_after(function, "abort", settlement.pk)
    assert everything() == before
    assert broken() == []
    services.abort(settlement.pk, reason="test", actor="test")
    assert broken() == []
