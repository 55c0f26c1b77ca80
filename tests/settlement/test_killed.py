"""kill -9 during closing and settling: all or nothing, and the next process continues the work (faults F30)."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
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

pytestmark = pytest.mark.slow

# Does one thing as another process would, and dies by SIGKILL as soon as the function named has returned. Each is
# forked from one that has imported everything and has no connection to the database.
DYING = """
import django, importlib, json, os, sys, traceback
django.setup()
from settlement import services
from settlement.decide import Wish
from settlement.models import Settlement
from settlement.states import State

def act(where, name, what, number):
    owner = importlib.import_module(where)
    reached = getattr(owner, name)
    def and_die(*arguments, **named):
        reached(*arguments, **named)
        os.kill(os.getpid(), 9)
    setattr(owner, name, and_die)
    if what == "close":
        services.close_window(reason="killed", actor="killed")
    elif what == "create":
        services.create(model_name="NET", window_ids=[number], reason="killed", actor="killed")
    elif what == "abort":
        services.abort(number, reason="killed", actor="killed")
    else:
        rows = Settlement.objects.get(pk=number).accounts.values_list("account__participant_id", "account_id")
        services.move(number, [Wish(*row, State(what), "killed") for row in rows], actor="killed")

for line in sys.stdin:
    if not (child := os.fork()):
        try:
            act(*json.loads(line))
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(1)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""
SETTLING = "settlement.services.settlements"
WINDOWS = "settlement.services.windows"


DieAfter = Callable[..., None]


@pytest.fixture(scope="module")
def die_after(django_db_setup: None) -> Iterator[DieAfter]:
    """Has another process begin this and die within; `function` is where."""
    database = urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{connection.settings_dict['NAME']}").geturl()
    environ = os.environ | {"DATABASE_URL": database, "DJANGO_SETTINGS_MODULE": "hub.settings"}
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", DYING]
    with subprocess.Popen(
        command, cwd=root, env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as first:
        assert first.stdin is not None
        assert first.stdout is not None

        def die_after(function: str, what: str, number: int = 0) -> None:
            print(json.dumps([*function.rsplit(":", 1), what, number]), file=first.stdin, flush=True)
            assert first.stdout.readline().strip() == str(-signal.SIGKILL)  # its fault, if any, is in stderr

        yield die_after
        first.stdin.close()


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
def test_a_closer_that_is_killed_has_closed_a_window_or_not(paid: World, die_after: DieAfter, function: str) -> None:
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
def test_a_settler_that_is_killed_leaves_the_window_as_it_was(paid: World, die_after: DieAfter, function: str) -> None:
    window = close()
    before = everything()
    die_after(f"{SETTLING}:{function}", "create", window)
    assert everything() == before
    assert broken() == []
    settle_all(create(window))
    assert broken() == []


@pytest.mark.parametrize("function", [f"{SETTLING}:_remember", f"{SETTLING}:record", "ledger.settlement_postings:post"])
@pytest.mark.parametrize("state", STEPS[1:3])
def test_a_step_that_is_killed_has_not_been_taken(
    paid: World, die_after: DieAfter, function: str, state: State
) -> None:
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
def test_an_abort_that_is_killed_has_not_happened(paid: World, die_after: DieAfter, function: str) -> None:
    settlement = create(close())
    for step in STEPS[:2]:
        services.move(settlement.pk, wishes_of(settlement, step), actor="test")
    before = everything()
    die_after(function, "abort", settlement.pk)
    assert everything() == before
    assert broken() == []
    services.abort(settlement.pk, reason="test", actor="test")
    assert broken() == []
