"""Each kind of payment through the forms of the banks' pages: in ISO 20022, and while processes are killed.

A process is killed after one of the commits to its own state, so between two of the steps that it has to remember. A
kill of the hub is timed by the commits of the payer's connector. `make thorough` kills after each commit of each kind.
"""

import signal
import threading
import time

import psycopg
import pytest

from hub.local.demo import add_fxp
from hub.local.demo.banks import FXP, NAMES, Bank
from hub.local.demo.run import wait_for_books
from hub.local.stack import Stack
from tests.live.bank_people import Commits, People

pytestmark = pytest.mark.live

# The process that is killed, and the state whose commits show the steps.
VICTIMS = {
    "bank-greenbank": "greenbank/books.sqlite3",
    "connector-greenbank": "greenbank/connector/connector.sqlite3",
    "bank-bluewallet": "bluewallet/books.sqlite3",
    "connector-bluewallet": "bluewallet/connector/connector.sqlite3",
    "web": "greenbank/connector/connector.sqlite3",
    f"fxp-{FXP}": f"{FXP}/connector/connector.sqlite3",
}
# Two processes in each round, each at one place in the middle of the eight kinds that begin together.
ROUNDS = [
    {"bank-greenbank": 12, "connector-bluewallet": 16},
    {"connector-greenbank": 20, "bank-bluewallet": 8},
    {"web": 26, f"fxp-{FXP}": 2},
]
MOST_STEPS = 60


@pytest.fixture(scope="module")
def people(stack: Stack, banks: list[Bank]) -> People:
    add_fxp(stack, tell=lambda _: None)
    return People(stack, banks)


class Round:
    """Some kinds of payment that begin together, while processes are killed, each after so many steps."""

    def __init__(self, stack: Stack, people: People, kinds: list[str], victims: dict[str, int], amount: int) -> None:
        self.paid: dict[str, bool] = {}
        self.killed: list[str] = []
        self.faults: list[str] = []
        self._stack = stack
        walks = [threading.Thread(target=self._walk, args=(people, kind, amount)) for kind in kinds]
        watched = {victim: Commits(stack.state.path / VICTIMS[victim]) for victim in victims}
        killers = [
            threading.Thread(target=self._kill, args=(victim, watched[victim], after, walks))
            for victim, after in victims.items()
        ]
        for thread in (*walks, *killers):
            thread.start()
        for thread in (*walks, *killers):
            thread.join(150)
        stack.wait_ready()
        assert self.faults == []

    def _kill(self, victim: str, commits: Commits, after: int, walks: list[threading.Thread]) -> None:
        if commits.wait_for(after, lambda: not any(walk.is_alive() for walk in walks)):
            self._stack.kill(victim, signal.SIGKILL, group=victim == "web")
            self.killed.append(victim)

    def _walk(self, people: People, kind: str, amount: int) -> None:
        try:
            self.paid[kind] = (people.kinds | people.refused)[kind](amount)
        except Exception as error:
            self.faults.append(f"{kind}: {error!r}")


def use_form(stack: Stack, form: str) -> None:
    """Restarts each connector with this form of messages."""
    for name, process in (*((bank, f"connector-{bank}") for bank in NAMES), (FXP, f"fxp-{FXP}")):
        config = stack.state.path / name / "connector.toml"
        lines = config.read_text().splitlines() if config.exists() else []
        kept = [line for line in lines if not line.startswith("message_form")]
        config.write_text("\n".join([*kept, f'message_form = "{form}"', ""]))
        stack.kill(process, signal.SIGKILL)
    time.sleep(0.5)
    stack.wait_ready()


def test_each_kind_of_payment_is_made_in_iso_20022(stack: Stack, banks: list[Bank], people: People) -> None:
    use_form(stack, "iso20022")
    try:
        with psycopg.connect(stack.env["DATABASE_URL"]) as database:
            (since,) = database.execute("SELECT now()").fetchone() or (None,)
        paid = Round(stack, people, [*people.kinds, "to nobody", "to a closed account"], {}, 1500).paid
        with psycopg.connect(stack.env["DATABASE_URL"]) as database:
            found = database.execute(
                "SELECT state, version, fulfil_version, count(*) FROM ledger_transfer WHERE received_at >= %s"
                " GROUP BY 1, 2, 3",
                [since],
            ).fetchall()
    finally:
        use_form(stack, "plain")
    assert paid == dict.fromkeys(people.kinds, True) | {"to nobody": False, "to a closed account": False}
    assert {(state, version) for state, version, _, _ in found} == {("COMMITTED", "2.0i"), ("ABORTED", "2.0i")}
    assert {fulfilled for state, _, fulfilled, _ in found if state == "COMMITTED"} == {"2.0i"}
    assert sum(count for state, _, _, count in found if state == "COMMITTED") == len(people.kinds) + 5  # six salaries
    assert wait_for_books(stack, banks).faults == []


def test_a_killed_process_costs_nobody_anything(stack: Stack, banks: list[Bank], people: People) -> None:
    rounds = [Round(stack, people, list(people.kinds), victims, 1000 + number) for number, victims in enumerate(ROUNDS)]
    assert sorted(victim for each in rounds for victim in each.killed) == sorted(VICTIMS)
    outcomes = [is_paid for each in rounds for is_paid in each.paid.values()]
    assert len(outcomes) == len(ROUNDS) * len(people.kinds)
    assert sum(outcomes) >= len(outcomes) * 0.6  # what could not be agreed in time has failed as a whole
    assert wait_for_books(stack, banks).faults == []


@pytest.mark.thorough
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("victim", VICTIMS)
def test_a_kill_after_each_step_of_each_kind_costs_nobody_anything(
    victim: str, stack: Stack, banks: list[Bank], people: People
) -> None:
    steps = {}
    for place, kind in enumerate(people.kinds):
        for after in range(1, MOST_STEPS):
            amount = 2000 + 1000 * list(VICTIMS).index(victim) + 100 * place + after
            if not Round(stack, people, [kind], {victim: after}, amount).killed:
                steps[kind] = after - 1
                break
        assert wait_for_books(stack, banks).faults == [], kind
    assert any(steps.values()), steps
    stack.manage("check_ledger")
