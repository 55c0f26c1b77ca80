"""A limit of k payments admits exactly k: eight writers with real commits, of which some are killed, and payments that
are aborted and expire in between. Afterwards the profiles are what the transfers say, payment by payment."""

import os
import random
import signal
import time
import uuid
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable
from ctypes import c_bool
from functools import partial
from multiprocessing.sharedctypes import RawValue
from typing import NoReturn, Protocol
from urllib.parse import urlsplit

import psycopg
import pytest
from django.db import DatabaseError, InterfaceError, connection, connections

from hub.group_commit import LostRace
from hub.sql_execution import execute
from ledger import engine, invariants, quoted_facts
from ledger.commands_and_outcomes import Command, Expire, Prepare, Reserved
from ledger.models import Transfer
from ledger.quoted_facts import QuotedFacts
from ledger.rule_history import rebuild
from rules.profiles import events_and_buckets, folding, store
from rules.profiles.models import CountedTransfer, Profile
from tests.concurrency.together import together
from tests.rules.limits import activate, facts_in, facts_of_quotes, key_of_customer, limit, pay, quoted
from tests.world import World, fulfil, reject, run

PAYERS = range(1, 13)
PAYEES = range(101, 104)
SENT, RECEIVED = 6, 10
WRITERS = 8
FOR_S = 1.9  # at least, and on a slow machine until the limits were met
AT_MOST_S = 60
BILLER = 999
REFUNDS = {
    "id": "refunds",
    "title": "Refunds",
    "kind": "scheme",
    "gate": "transfer",
    "when": {"scenarios": ["REFUND"]},
    "if": {"fact": "refund.within_original", "is": "false"},
    "then": {"action": "refuse", "code": "3141"},
}


@pytest.fixture
def scheme(committed_world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr(quoted_facts, "of", facts_of_quotes)
    committed_world.onboard("rich", ndc=1_000_000, cover=1_000_000)
    return committed_world


def commands(world: World, chance: random.Random, open_ones: list[tuple[str, str]]) -> list[Command]:
    """A group as the engine makes them: what ends transfers, then what begins them."""
    ends: list[Command] = []
    for each in open_ones[:]:
        transfer_id, payee = each
        match chance.randrange(6):
            case 0:
                ends.append(reject(world, payee, transfer_id))
            case 1:
                ends.append(fulfil(world, payee, transfer_id))
            case 2:
                ends.append(Expire(transfer_id))  # which is not due in most cases
                continue
            case _:
                continue
        open_ones.remove(each)
    begins: list[Command] = [pay_one(world, chance) for _ in range(chance.choice([1, 3, 8]))]
    return ends + begins


def pay_one(world: World, chance: random.Random) -> Prepare:
    payer, lives_for = chance.choice(PAYERS), chance.choice([0.2, 60])
    if chance.random() < 0.4:
        return pay(world, payer, BILLER, dfsps=("rich", "red"), expires_in=lives_for)
    return pay(world, payer, chance.choice(PAYEES), dfsps=("rich", "blue"), expires_in=lives_for)


class Flag(Protocol):
    """Shared with other processes, and without a lock that a killed one would keep."""

    value: bool


def write(world: World, seed: int, over: Flag) -> None:
    """What one writer does until the race is over, or until it is killed."""
    chance, open_ones = random.Random(seed), list[tuple[str, str]]()
    while not over.value:
        try:
            outcomes = engine.run(commands(world, chance, open_ones))
            if chance.random() < 0.2:
                folding.fold()
        except (DatabaseError, InterfaceError, LostRace):
            connection.close()  # what it was doing has happened or not
            continue
        reserved = [outcome.transfer for outcome in outcomes if isinstance(outcome, Reserved)]
        open_ones += [(transfer.transfer_id, transfer.payee) for transfer in reserved]


def start(work: Callable[[], object]) -> int:
    """A process that does this and ends."""
    child = os.fork()
    if child == 0:
        _work_and_exit(work)
    return child


def _work_and_exit(work: Callable[[], object]) -> NoReturn:
    code = 1
    try:
        work()
        code = 0
    finally:
        os._exit(code)


def race(world: World, until: Callable[[], bool]) -> Counter[int]:
    """Eight writers at once. One is killed every now and then, and another begins. Returns how the writers ended."""
    connections.close_all()  # no process may use another's connection
    began, chance, over = time.monotonic(), random.Random(7), RawValue(c_bool, False)
    children = [start(partial(write, world, seed, over)) for seed in range(WRITERS)]
    ends: Counter[int] = Counter()
    try:
        while (lasted := time.monotonic() - began) < FOR_S or not (lasted > AT_MOST_S or until()):
            connections.close_all()
            time.sleep(chance.uniform(0.1, 0.3))
            child = children.pop(chance.randrange(len(children)))
            os.kill(child, signal.SIGKILL)
            ends[os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])] += 1
            children.append(start(partial(write, world, chance.randrange(10**6), over)))
    finally:
        over.value = True
        for child in children:
            ends[os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])] += 1
    return ends


def highest(column: str) -> dict[int, int]:
    """The most payments that ever counted for each party at once, in the order of the moments of their decisions."""
    moves: dict[int, list[tuple[object, int]]] = defaultdict(list)
    counted = list(CountedTransfer.objects.values_list("pk", column))
    transfers = {row[0]: row[1:] for row in Transfer.objects.values_list("pk", "state", "received_at", "completed_at")}
    for transfer_id, key in counted:
        state, began, ended = transfers[transfer_id]
        moves[key].append((began, 1))
        if state == "ABORTED":
            moves[key].append((ended, -1))
    most = {}
    for key, found in moves.items():
        now = most[key] = 0
        for _moment, change in sorted(found):  # at one moment, what ends comes first
            now += change
            most[key] = max(most[key], now)
    return most


def live(column: str) -> Counter[int]:
    return Counter(CountedTransfer.objects.filter(ended=False).values_list(column, flat=True))


def test_a_limit_admits_exactly_as_many_as_it_says_whoever_dies_in_between(scheme: World) -> None:
    activate(
        limit(above=SENT), limit("payee.received_count", above=RECEIVED, code="5240", when={"payee_dfsps": ["blue"]})
    )

    def met() -> bool:
        received = highest("payee_key")
        return (
            max(highest("payer_key").values(), default=0) >= SENT
            and max(received.get(key_of_customer(number), 0) for number in PAYEES) >= RECEIVED
            and received.get(key_of_customer(BILLER), 0) > RECEIVED
            and Transfer.objects.filter(reason="EXPIRED").exists()
        )

    ends = race(scheme, until=met)
    assert ends[-signal.SIGKILL] >= 1, ends
    assert ends[0] == WRITERS, ends
    payers, payees = map(key_of_customer, PAYERS), [key_of_customer(number) for number in PAYEES]
    most_sent, most_received = highest("payer_key"), highest("payee_key")
    assert set(most_sent) == set(payers)
    assert max(most_sent.values()) == SENT
    assert max(most_received[key] for key in payees) == RECEIVED
    assert most_received[key_of_customer(BILLER)] > RECEIVED  # whom the rule does not look at
    assert Transfer.objects.filter(reason="EXPIRED").exists()
    assert rebuild.compare().differences == []
    assert [str(found) for found in invariants.find_breaks()] == []
    # What is free is free, and not one more.
    sent = live("payer_key")
    for number in PAYERS:
        for _ in range(SENT - sent[key_of_customer(number)]):
            assert isinstance(run(pay(scheme, number, BILLER, dfsps=("rich", "red"))), Reserved)
        assert not isinstance(run(pay(scheme, number, BILLER, dfsps=("rich", "red"))), Reserved)
    assert set(live("payer_key").values()) == {SENT}
    while folding.fold():
        pass
    found = rebuild.compare()
    assert found.differences == []
    assert found.payments == 2 * CountedTransfer.objects.filter(ended=False).count()
    assert [str(each) for each in invariants.find_breaks()] == []


def test_without_the_lock_the_race_is_lost(scheme: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def without_lock(keys: Collection[int]) -> tuple[dict[int, events_and_buckets.Profile], list[store.Unfolded]]:
        created = "INSERT INTO rules_profiles_profile (key) SELECT unnest(%s::bigint[]) ON CONFLICT DO NOTHING"
        execute(created, [sorted(keys)])
        return store.read(keys), []

    monkeypatch.setattr(store, "lock", without_lock)
    activate(limit(above=SENT))

    def lost() -> bool:
        return max(highest("payer_key").values(), default=0) > SENT

    race(scheme, until=lost)
    assert lost()


def test_two_refunds_at_once_under_both_ids_of_an_original_are_not_both_reserved(
    scheme: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    named: dict[str, str] = {}
    transaction_ids: dict[str, str] = {}

    def facts(prepares: Iterable[Prepare]) -> dict[bytes, QuotedFacts]:
        found = {}
        for each in prepares:
            original = named.get(each.transfer_id)
            more = {"scenario": "REFUND", "refund_of": original} if original else {}
            found[each.digest] = quoted(facts_in(each, **more), transaction_ids.get(each.transfer_id))
        return found

    monkeypatch.setattr(quoted_facts, "of", facts)
    activate(REFUNDS)
    pairs = []
    for _ in range(12):
        original = pay(scheme, 1, 2)
        transaction_ids[original.transfer_id] = str(uuid.uuid4())
        run(original)
        run(fulfil(scheme, "blue", original.transfer_id))
        pairs.append([pay(scheme, 2, 1, dfsps=("blue", "green")) for _ in range(2)])
        ids = (original.transfer_id, transaction_ids[original.transfer_id])
        named.update({each.transfer_id: id for each, id in zip(pairs[-1], ids, strict=True)})
    for pair in pairs:
        outcomes = together([partial(run, each) for each in pair])
        assert Counter(type(outcome).__name__ for outcome in outcomes) == {"Reserved": 1, "Refused": 1}
    assert rebuild.compare().differences == []


def test_a_payee_that_everybody_pays_makes_nobody_wait(scheme: World) -> None:
    activate(limit(above=50), limit("payee.received_count", above=50, when={"payee_dfsps": ["red"]}))
    run(pay(scheme, 1, BILLER))
    folding.fold()
    url = urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{connection.settings_dict['NAME']}").geturl()
    with psycopg.connect(url) as other:
        other.execute("SELECT FROM rules_profiles_profile WHERE key = %s FOR UPDATE", [key_of_customer(BILLER)])
        assert isinstance(run(pay(scheme, 2, BILLER)), Reserved)
        p = pay(scheme, 3, BILLER)
        assert isinstance(run(p), Reserved)
        run(reject(scheme, "blue", p.transfer_id))
    assert Profile.objects.get(pk=key_of_customer(BILLER)).counted == 1
    folding.fold()
    assert Profile.objects.get(pk=key_of_customer(BILLER)).counted == 2
    assert rebuild.compare().differences == []
