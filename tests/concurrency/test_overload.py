"""Overload: as many as may wait are served, the others are told at once, and nobody is served in vain."""

import threading
import time
from typing import Any

import pytest
from django.test import override_settings

from fspiop.errors import FspiopError
from ledger import engine
from ledger.messages import Reserved
from ledger.models import Transfer
from tests.world import World, prepare


def _stall(monkeypatch: pytest.MonkeyPatch) -> tuple[threading.Event, threading.Event]:
    """The first group says that it has begun, and goes on when it is told to."""
    entered, go_on, run_group = threading.Event(), threading.Event(), engine.run

    def run_slowly(batch: Any) -> Any:
        entered.set()
        go_on.wait(30)
        return run_group(batch)

    monkeypatch.setattr(engine, "run", run_slowly)
    return entered, go_on


def test_a_hub_with_too_much_to_do_says_so_and_goes_on(committed_world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """As many as may wait are served; the others are told at once, and nothing of theirs is stored."""
    entered, go_on = _stall(monkeypatch)
    own, commands = engine.Engine(), [prepare(committed_world, "green", "blue", 1) for _ in range(12)]
    with override_settings(LEDGER_QUEUE=10):
        threads = [threading.Thread(target=own.submit, args=(command,)) for command in commands[:10]]
        for thread in threads:
            thread.start()
        assert entered.wait(10)
        while own._open < 10:
            time.sleep(0.01)
        for command in commands[10:]:
            with pytest.raises(FspiopError) as refusal:
                own.submit(command)
            assert (refusal.value.http_status, refusal.value.code) == (503, "2005")
        go_on.set()
        for thread in threads:
            thread.join(30)
        assert isinstance(own.submit(commands[10]), Reserved)
    assert Transfer.objects.count() == 11


def test_who_no_longer_waits_is_not_served_later(committed_world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    entered, go_on = _stall(monkeypatch)
    own = engine.Engine()
    first, second = (prepare(committed_world, "green", "blue", 1) for _ in range(2))
    thread = threading.Thread(target=own.submit, args=(first,))
    thread.start()
    assert entered.wait(10)
    with override_settings(REQUEST_DEADLINE_S=0.1), pytest.raises(FspiopError):
        own.submit(second)
    go_on.set()
    thread.join(30)
    assert list(Transfer.objects.values_list("transfer_id", flat=True)) == [first.transfer_id]
