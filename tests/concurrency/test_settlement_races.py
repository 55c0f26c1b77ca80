"""Races about windows and settlements, with real commits on real connections."""

import random
import threading
import time
from collections import Counter
from functools import partial
from typing import Any

import pytest
from django.db import DatabaseError

from fspiop.errors import FspiopError
from ledger import invariants
from ledger.commands_and_outcomes import Committed, Refused
from ledger.models import Entry, SettlementWindow
from settlement import gross_settlement, services
from settlement.decide import Wish
from settlement.models import Settlement
from settlement.services import settlement_models
from settlement.states import STEPS, State
from tests.concurrency.together import together
from tests.world import World, amount, fulfil, prepare, run

pytestmark = pytest.mark.usefixtures("committed_world")
PAIRS = [("green", "blue"), ("blue", "red"), ("red", "green"), ("blue", "green")]


def broken() -> list[str]:
    return [found.invariant.name for found in invariants.find_breaks()]


def kinds(results: list[Any]) -> Counter[str]:
    return Counter(type(result).__name__ for result in results)


def add_model(
    name: str = "NET", *, currency: str | None = None, is_checked: bool = False, at_once: bool = False
) -> None:
    settlement_models.create_model(
        name=name,
        granularity="GROSS" if at_once else "NET",
        interchange="BILATERAL" if at_once else "MULTILATERAL",
        delay="IMMEDIATE" if at_once else "DEFERRED",
        currency=currency,
        require_liquidity_check=is_checked,
        auto_position_reset=True,
        ledger_account_type="POSITION",
        settlement_account_type="SETTLEMENT",
        actor="test",
    )


def pay(world: World, payer: str, payee: str, text: int = 1) -> object:
    p = prepare(world, payer, payee, text)
    run(p)
    return run(fulfil(world, payee, p.transfer_id))


def close() -> int:
    number: int = services.close_window(reason="test", actor="test").closed.pk
    return number


def create(*windows: int) -> Settlement:
    return services.create(model_name="NET", window_ids=windows, reason="test", actor="test")


def wishes_of(settlement: Settlement, state: State) -> list[Wish]:
    rows = settlement.accounts.values_list("account__participant_id", "account_id")
    return [Wish(participant, account, state, "test") for participant, account in rows]


def settle_all(settlement: Settlement) -> None:
    for state in STEPS:
        services.move(settlement.pk, wishes_of(settlement, state), actor="test")


def test_eight_closers_close_a_window_once(committed_world: World) -> None:
    pay(committed_world, "green", "blue")
    number = SettlementWindow.objects.get().pk
    results = together([partial(services.close_window, reason="t", actor="t", window_id=number)] * 8)
    assert kinds(results) == {"Closed": 1, "FspiopError": 7}
    assert list(SettlementWindow.objects.order_by("id").values_list("state", flat=True)) == ["CLOSED", "OPEN"]
    assert broken() == []


def test_eight_settlers_of_one_window_make_one_settlement(committed_world: World) -> None:
    add_model()
    pay(committed_world, "green", "blue")
    window = close()
    results = together([partial(create, window)] * 8)
    assert kinds(results) == {"Settlement": 1, "FspiopError": 7}
    assert Settlement.objects.count() == 1
    assert broken() == []


def test_eight_equal_steps_at_once_post_once(committed_world: World) -> None:
    add_model()
    pay(committed_world, "green", "blue", 10)
    settlement = create(close())
    for state in STEPS:
        results = together([partial(services.move, settlement.pk, wishes_of(settlement, state), actor="test")] * 8)
        assert kinds(results) == {"list": 8}
        assert sum(answer.is_step for result in results if isinstance(result, list) for answer in result) == 2
    assert Entry.objects.filter(kind__startswith="NET_").count() == 2
    assert committed_world.position("green") == committed_world.position("blue") == 0
    assert broken() == []


def test_an_abort_and_a_step_at_once_end_in_one_of_both(committed_world: World) -> None:
    add_model()
    for _ in range(6):
        pay(committed_world, "green", "blue", 10)
        window = close()
        settlement = create(window)
        for state in STEPS[:2]:
            services.move(settlement.pk, wishes_of(settlement, state), actor="test")
        step = partial(services.move, settlement.pk, wishes_of(settlement, STEPS[2]), actor="test")
        together([partial(services.abort, settlement.pk, reason="t", actor="t"), step])
        settlement.refresh_from_db()
        assert broken() == []
        if settlement.state == State.ABORTED:
            settle_all(create(window))
        assert committed_world.position("green") == committed_world.position("blue") == 0


def test_windows_close_and_settle_under_payments_and_every_position_comes_to_zero(committed_world: World) -> None:
    add_model()
    payments, payers = 40, 4
    working = threading.Semaphore(0)
    failed: list[BaseException] = []

    def pay_many(seed: int) -> int:
        rng = random.Random(seed)
        try:
            return sum(
                isinstance(pay(committed_world, *rng.choice(PAIRS), rng.randint(1, 9)), Committed)
                for _ in range(payments)
            )
        finally:
            working.release()

    def settle_many() -> int:
        done = settled = 0
        while done < payers:
            done += working.acquire(timeout=0.01)
            try:
                settle_all(create(close()))
                settled += 1
            except FspiopError as error:  # an empty window is not closed
                if "empty" not in error.description:
                    failed.append(error)
        return settled

    results = together([*(partial(pay_many, seed) for seed in range(payers)), settle_many])
    assert not [result for result in results if isinstance(result, BaseException)]
    assert failed == []
    assert sum(results[:payers]) == payments * payers  # type: ignore[arg-type]
    assert results[payers] > 3  # type: ignore[operator]
    if Entry.objects.filter(window__state="OPEN").exists():
        settle_all(create(close()))
    assert {committed_world.position(name) for name in ("green", "blue", "red")} == {0}
    assert set(SettlementWindow.objects.values_list("state", flat=True)) == {"OPEN", "SETTLED"}
    assert broken() == []


def test_a_receivers_reset_and_its_own_payments_never_pass_its_cap_together(committed_world: World) -> None:
    add_model(is_checked=True)
    for round_number in range(4):
        name = f"shop{round_number}"
        committed_world.onboard(name, ndc=50, cover=5000)
        pay(committed_world, "green", name, 40)
        settlement = create(close())
        services.move(settlement.pk, wishes_of(settlement, STEPS[0]), actor="test")
        reserve = partial(services.move, settlement.pk, wishes_of(settlement, STEPS[1]), actor="test")
        prepares = [partial(run, prepare(committed_world, name, "blue", 10)) for _ in range(12)]
        results = together([*prepares, reserve])
        assert not [result for result in results if isinstance(result, DatabaseError)]
        assert committed_world.position(name) <= amount(50)
        assert kinds(results)["Refused"] >= 3
        assert any(isinstance(result, Refused) for result in results)
    assert broken() == []


def test_commits_are_settled_at_once_by_many_workers_each_once(committed_world: World) -> None:
    committed_world.onboard("till", ndc=1000, cover=0)
    add_model("AT_ONCE", currency="TZS", at_once=True)
    stop = threading.Event()

    def settle_new() -> int:
        settled = 0
        while not stop.is_set():
            settled += gross_settlement.settle_new_commits()
            time.sleep(0.005)
        return settled

    def pay_many(seed: int) -> None:
        rng = random.Random(seed)
        for _ in range(25):
            pay(committed_world, *rng.choice(PAIRS))

    def pay_all() -> int:
        together([partial(pay_many, seed) for seed in range(4)])
        close()
        stop.set()
        return 0

    results = together([settle_new, settle_new, pay_all])
    assert not [result for result in results if isinstance(result, BaseException)]
    assert Entry.objects.filter(kind="GROSS_PAYER").count() == 100
    assert {committed_world.position(name) for name in ("green", "blue", "red")} == {0}
    assert broken() == []


def test_of_equal_account_types_at_once_one_is_made_and_the_others_are_refused() -> None:
    """The loser of this race once failed with an error of the database, which was a 500."""
    add = partial(
        settlement_models.create_account_type,
        name="FEES",
        description="",
        is_active=True,
        is_settleable=True,
        actor="test",
    )
    results = together([add] * 8)
    assert kinds(results) == {"LedgerAccountType": 1, "FspiopError": 7}
    refused = [str(each) for each in results if isinstance(each, FspiopError)]
    assert all(each.endswith("Ledger Account Type already exists") for each in refused)
