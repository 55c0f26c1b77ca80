"""kill -9 of each process while payments flow: nothing is lost, nothing is doubled, and nobody has to help."""

import signal
import threading
import time
from collections.abc import Iterator

import pytest

from hub.local import proc
from hub.local.demo.banks import Bank
from hub.local.demo.payments import Result
from hub.local.demo.run import DATA, pay, read_payments, wait_for_books
from hub.local.stack import Stack
from tests.live_hubs import own_hub

pytestmark = pytest.mark.live

BETWEEN_S = 2.0
# (process, its whole group at once): the order in which they are killed.
KILLS = [
    ("worker", False),
    ("beat", False),
    ("valkey", False),
    ("connector-greenbank", False),
    ("postgres", False),
    ("web", True),
    ("bank-bluewallet", False),
    ("worker", True),
    ("connector-bluewallet", False),
    ("postgres", False),
]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with own_hub(tmp_path_factory.mktemp("hub") / "state", own_cluster=True, WEB_WORKERS="2") as stack:
        yield stack


def kill_one_web_process(stack: Stack) -> None:
    """One of granian's workers, with the requests that it holds; its parent stays."""
    parent = stack.pid("web")
    assert parent is not None
    children = [pid for pid in proc.group_members(parent) if pid != parent]
    assert children
    proc.send(children[0], signal.SIGKILL)


def test_killing_any_process_in_mid_payment_loses_and_doubles_nothing(stack: Stack, banks: list[Bank]) -> None:
    wanted = [payment for payment in read_payments(DATA / "payments.csv") if payment.expect == "committed"]
    results: list[Result] = []
    paying = threading.Thread(target=lambda: results.extend(pay(wanted, banks)))
    before = {name: stack.restarts(name) for name, _ in KILLS}
    paying.start()
    time.sleep(BETWEEN_S)
    kill_one_web_process(stack)
    for name, group in KILLS:
        time.sleep(BETWEEN_S)
        stack.wait_ready([name])
        stack.kill(name, signal.SIGKILL, group=group)
    paying.join(400)
    assert not paying.is_alive(), "payments that never end"
    stack.wait_ready()

    for name in before:
        assert stack.restarts(name) > before[name], f"{name} was not started again"
    # A payee that was told too late says so itself, with its own code.
    outcomes = {"3303" if result.why.endswith("expired") else result.outcome for result in results}
    assert len(results) == len(wanted)
    assert "open" not in outcomes
    # What could not be agreed or fulfilled in time has failed as a whole; the rest is paid.
    # 3208: the transfer did not reach the hub before its expiration.
    assert outcomes <= {"committed", "2004", "1001", "3303", "3208"}, [r for r in results if r.outcome != "committed"]
    committed = sum(result.outcome == "committed" for result in results)
    assert committed >= len(wanted) * 0.8

    compared = wait_for_books(stack, banks, seconds=120)
    assert compared.faults == []
    assert compared.agreed == committed
    stack.manage("check_ledger")
