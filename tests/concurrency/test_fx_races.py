"""Races about conversions, with real commits on real connections."""

import contextlib
import random
import threading
import time
import uuid
from collections import Counter
from functools import partial
from typing import Any

import pytest

from fspiop.errors import FspiopError
from hub.outbox.models import Message
from ledger import invariants, tasks
from ledger.fx.commands_and_outcomes import FxPrepare
from ledger.models import Entry, FxTransfer, FxTransferEvent, Transfer
from settlement.services import close_window
from tests.concurrency.together import together
from tests.fx_world import agreed, fx_expire, fx_fulfil, fx_prepare, fx_reject, open_scheme, positions, run
from tests.world import World, fulfil, prepare, reject


@pytest.fixture
def scheme(committed_world: World) -> World:
    return open_scheme(committed_world, ndc=100_000, cover=100_000)


def broken() -> list[str]:
    return [found.invariant.name for found in invariants.find_breaks()]


def kinds(results: list[Any]) -> Counter[str]:
    return Counter(type(result).__name__ for result in results)


def dependent(world: World, c: FxPrepare, **more: Any) -> Any:
    return prepare(world, "green", "blue", 1, currency="KES", transfer_id=c.determining_transfer_id, **more)


SMALL: dict[str, Any] = {"source": ("TZS", 1), "target": ("KES", 1)}


def test_fifty_equal_conversions_at_once_have_one_effect(scheme: World) -> None:
    c = fx_prepare(scheme, str(uuid.uuid4()))
    assert kinds(together([partial(run, c)] * 50)) == {"FxReserved": 1, "FxRepeated": 49}
    assert positions(scheme) == {"green TZS": 100}
    assert Message.objects.filter(subject=c.commit_request_id, kind="fx-prepare").count() == 1
    assert broken() == []


def test_fifty_equal_fulfilments_at_once_agree_once(scheme: World) -> None:
    c = fx_prepare(scheme, str(uuid.uuid4()))
    run(c)
    results = together([partial(run, fx_fulfil(scheme, c.commit_request_id)) for _ in range(50)])
    assert kinds(results) == {"FxAgreed": 1, "FxRepeated": 49}
    assert Message.objects.filter(subject=c.commit_request_id, kind="fx-answer").count() == 1
    assert broken() == []


def test_fifty_equal_dependent_transfers_at_once_reserve_on_the_fxp_once(scheme: World) -> None:
    c = agreed(scheme)
    t = prepare(scheme, "green", "blue", 5, currency="KES", transfer_id=c.determining_transfer_id)
    assert kinds(together([partial(run, t)] * 50)) == {"Reserved": 1, "Repeated": 49}
    assert positions(scheme) == {"green TZS": 100, "fxp KES": 5}
    results = together([partial(run, fulfil(scheme, "blue", t.transfer_id)) for _ in range(50)])
    assert kinds(results) == {"Committed": 1, "Repeated": 49}
    assert positions(scheme) == {"green TZS": 100, "fxp TZS": -100, "fxp KES": 5, "blue KES": -5}
    assert Entry.objects.filter(window__isnull=False).count() == 2
    assert broken() == []


def test_two_conversions_for_one_transfer_at_once_are_one(scheme: World) -> None:
    for _ in range(10):
        determining = str(uuid.uuid4())
        commands = [fx_prepare(scheme, determining, fxp=fxp, **SMALL) for fxp in ("fxp", "other")]
        results = together([partial(run, command) for command in commands])
        assert kinds(results) == {"FxReserved": 1, "FxRefused": 1}
    assert positions(scheme) == {"green TZS": 10}
    assert broken() == []


def test_a_fulfilment_and_the_sweep_at_the_moment_of_expiry_end_each_conversion_in_one_way(scheme: World) -> None:
    rng = random.Random(7)
    conversions = [fx_prepare(scheme, str(uuid.uuid4()), expires_in=2.0 + rng.random(), **SMALL) for _ in range(60)]
    for c in conversions:
        run(c)
    done: list[int] = []

    def sweep() -> None:
        while len(done) < 6:
            tasks.expire_transfers()

    def fulfil_late(mine: list[FxPrepare]) -> None:
        try:
            for c in sorted(mine, key=lambda c: c.expires_at):
                wait = c.expires_at.timestamp() - time.time() + rng.uniform(-0.05, 0.05)
                time.sleep(max(0.0, wait))
                run(fx_fulfil(scheme, c.commit_request_id))
        finally:
            done.append(1)

    calls: list[Any] = [partial(fulfil_late, conversions[number::6]) for number in range(6)]
    results = together([*calls, sweep, sweep])
    assert not [result for result in results if isinstance(result, BaseException)]
    tasks.expire_transfers()
    states = Counter(FxTransfer.objects.values_list("state", flat=True))
    assert states["AGREED"] + states["ABORTED"] == 60
    assert FxTransferEvent.objects.exclude(state="RESERVED").count() == 60
    assert positions(scheme) == ({"green TZS": states["AGREED"]} if states["AGREED"] else {})
    assert broken() == []


@pytest.mark.parametrize("ending", ["fulfil", "reject"])
def test_the_end_of_a_transfer_and_the_expiry_of_its_conversion_agree(
    scheme: World, settings: Any, ending: str
) -> None:
    """The conversion is past its time and only held by its transfer, which ends in the same moment."""
    settings.FX_TRANSFER_WAIT_S = 0
    pairs = []
    for _ in range(12):
        c = agreed(scheme, expires_in=0.6, **SMALL)
        t = dependent(scheme, c)
        run(t)
        pairs.append((c, t))
    time.sleep(max(0.0, pairs[-1][0].expires_at.timestamp() - time.time()))  # nothing expires them meanwhile
    for c, t in pairs:
        end = fulfil(scheme, "blue", t.transfer_id) if ending == "fulfil" else reject(scheme, "blue", t.transfer_id)
        results = together([partial(run, end), *[partial(run, fx_expire(c.commit_request_id))] * 3])
        assert kinds(results) == {"Committed" if ending == "fulfil" else "Aborted": 1, "FxIgnored": 3}
        state = "COMMITTED" if ending == "fulfil" else "ABORTED"
        assert FxTransfer.objects.get(pk=c.commit_request_id).state == state
        assert Transfer.objects.get(pk=t.transfer_id).state == state
    assert broken() == []


def test_a_transfer_and_the_expiry_of_what_pays_for_it_at_once_leave_neither_alone(
    scheme: World, settings: Any
) -> None:
    """Either the transfer takes the conversion, or the conversion is released and the transfer refused."""
    settings.FX_TRANSFER_WAIT_S = 0
    conversions = [agreed(scheme, expires_in=1.5 + number * 0.15, **SMALL) for number in range(15)]
    for c in conversions:
        t = dependent(scheme, c)
        time.sleep(max(0.0, c.expires_at.timestamp() - time.time() + random.uniform(-0.02, 0.01)))
        together([partial(run, t), *[partial(run, fx_expire(c.commit_request_id))] * 3])
        run(fx_expire(c.commit_request_id))
        states = (
            Transfer.objects.get(pk=t.transfer_id).state,
            FxTransfer.objects.get(pk=c.commit_request_id).state,
        )
        assert states in {("RESERVED", "AGREED"), ("ABORTED", "ABORTED")}
        if states[0] == "RESERVED":
            run(fulfil(scheme, "blue", t.transfer_id))
    assert broken() == []


def test_a_payees_conversion_and_its_fulfilment_of_the_transfer_at_once_leave_no_leg_alone(scheme: World) -> None:
    for _ in range(15):
        t = prepare(scheme, "green", "blue", 1)
        run(t)
        c = fx_prepare(scheme, t.transfer_id, initiator="blue", **SMALL)
        results = together([partial(run, c), partial(run, fulfil(scheme, "blue", t.transfer_id))])
        conversion, transfer = (type(result).__name__ for result in results)
        # First the conversion: the transfer waits for it. First the transfer: there is nothing left to convert.
        assert (conversion, transfer) in {("FxReserved", "NotObeyed"), ("FxRefused", "Committed")}
        if conversion == "FxReserved":
            run(fx_fulfil(scheme, c.commit_request_id))
            run(fulfil(scheme, "blue", t.transfer_id))
            assert FxTransfer.objects.get(pk=c.commit_request_id).state == "COMMITTED"
    assert broken() == []


def test_an_fxp_that_fulfils_and_refuses_at_once_is_heard_once(scheme: World) -> None:
    for _ in range(10):
        c = fx_prepare(scheme, str(uuid.uuid4()), **SMALL)
        run(c)
        results = together(
            [
                partial(run, fx_fulfil(scheme, c.commit_request_id)),
                partial(run, fx_reject(scheme, c.commit_request_id)),
            ]
        )
        assert kinds(results) in ({"FxAgreed": 1, "FxNotObeyed": 1}, {"FxAborted": 1, "FxNotObeyed": 1})
    assert broken() == []


def test_conversions_in_both_directions_at_once_neither_deadlock_nor_lose_money(scheme: World) -> None:
    """green buys KES for TZS while blue, through the same FXP, converts what it is paid in TZS."""

    def payer_converts() -> object:
        c = agreed(scheme, **SMALL)
        t = dependent(scheme, c)
        run(t)
        return run(fulfil(scheme, "blue", t.transfer_id))

    def payee_converts() -> object:
        t = prepare(scheme, "green", "blue", 1)
        run(t)
        c = fx_prepare(scheme, t.transfer_id, initiator="blue", **SMALL)
        run(c)
        run(fx_fulfil(scheme, c.commit_request_id))
        return run(fulfil(scheme, "blue", t.transfer_id))

    results = together([payer_converts, payee_converts] * 12)
    assert kinds(results) == {"Committed": 24}
    assert positions(scheme) == {"green TZS": 24, "fxp TZS": -24, "fxp KES": 24, "blue KES": -24}
    assert broken() == []


def test_both_legs_are_in_one_window_while_windows_close(scheme: World) -> None:
    stop = threading.Event()
    done: list[int] = []

    def pay() -> None:
        try:
            for _ in range(10):
                c = agreed(scheme, **SMALL)
                t = dependent(scheme, c)
                run(t)
                run(fulfil(scheme, "blue", t.transfer_id))
        finally:
            done.append(1)
            if len(done) == 4:
                stop.set()

    def close() -> None:
        while not stop.is_set():
            with contextlib.suppress(FspiopError):  # an empty window is not closed
                close_window(reason="test", actor="test")
            time.sleep(0.02)

    results = together([pay, pay, pay, pay, close])
    assert not [result for result in results if isinstance(result, BaseException)]
    legs = Counter(Entry.objects.filter(window__isnull=False).values_list("window_id", "kind"))
    windows = {window for window, _ in legs}
    assert len(windows) > 2
    assert all(legs[window, "TRANSFER"] == legs[window, "FX_TRANSFER"] for window in windows)
    assert sum(legs.values()) == 80
    assert broken() == []
