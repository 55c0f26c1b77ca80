"""The messages that a courier claims: fair between sources, in order for each subject, and never all that wait."""

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.db.models import F
from django.db.models.functions import Now
from django.test import override_settings

from hub.outbox import claims, retries, store
from hub.outbox.claims import Claim, Paused, Room
from hub.outbox.messages import HUB, IfPending, Outgoing
from hub.outbox.models import Delivery, Message
from hub.outbox.store import Failure
from hub.sql_execution import execute
from tests.outbox.messages import MANY, message
from tests.world import World


def claim(world: World, messages: int = 10, *, to: str = "blue", octets: int = MANY) -> Claim:
    return claims.claim({world.ids[to]: Room(messages, octets)}, lease_s=10)


def append_in_turn(messages: list[Outgoing]) -> None:
    """Appends messages with a millisecond between them, because messages of one moment may be claimed in any order."""
    store.append(messages)
    execute(
        """UPDATE outbox_message
           SET due_at = due_at - ((SELECT max(id) FROM outbox_message) - id) * interval '1 millisecond'"""
    )


def subjects(claimed: Claim) -> list[str]:
    return [each.subject for each in claimed.messages]


def test_a_source_with_thousands_waiting_leaves_room_for_the_others(world: World) -> None:
    green, blue, red = (world.ids[name] for name in ("green", "blue", "red"))
    store.append([message(blue, subject=f"green {n}", source=green) for n in range(2000)])
    store.append([message(blue, subject=f"red {n}", source=red) for n in range(3)])
    store.append([message(blue, subject="end")])
    taken = claim(world, 10)
    assert Counter(subject.split()[0] for subject in subjects(taken)) == {"end": 1, "green": 4, "red": 3}
    assert taken.has_more == {blue}


def test_paused_messages_are_postponed_together_and_those_behind_them_come_to_the_front(world: World) -> None:
    green, blue, red = (world.ids[name] for name in ("green", "blue", "red"))
    store.append([message(blue, subject=f"paused {n}", kind="end-to-payee") for n in range(3000)])
    execute("UPDATE outbox_message SET created_at = created_at - interval '1 s', due_at = due_at - interval '1 s'")
    store.append([message(blue, subject=f"of another kind {n}") for n in range(5)])
    store.append([message(blue, subject="of another source", kind="end-to-payee", source=red)])
    store.append([message(green, subject="elsewhere", kind="end-to-payee")])
    assert claims.put_off_paused([Paused(blue, HUB, "end-to-payee", 60.0)], most=2990) == 2990
    assert claims.put_off_paused([Paused(blue, HUB, "end-to-payee", 60.0)], most=10) == 10
    assert claims.put_off_paused([Paused(blue, HUB, "end-to-payee", 60.0)], most=3000) == 0
    assert sorted(subjects(claim(world, 20))) == [*(f"of another kind {n}" for n in range(5)), "of another source"]
    assert subjects(claim(world, to="green")) == ["elsewhere"]
    assert (
        Message.objects.filter(due_at__gt=Now() + timedelta(seconds=50), attempts=0, leased_until=None).count() == 3000
    )


def test_paused_streams_share_what_is_postponed_and_held_messages_are_left_out(world: World) -> None:
    green, blue, red = (world.ids[name] for name in ("green", "blue", "red"))
    for to in (blue, red):
        store.append([message(to, subject=f"{n}", source=green) for n in range(9)])
        store.append([message(to, subject=f"end {n}") for n in range(9)])
    held = claims.claim({red: Room(2, MANY)}, lease_s=10).messages
    paused = [Paused(blue, green, "state", 9.0), Paused(blue, HUB, "state", 9.0), Paused(red, green, "state", 9.0)]
    assert claims.put_off_paused(paused, most=16) == 16
    postponed = Message.objects.filter(due_at__gt=Now())
    assert Counter(postponed.values_list("destination_id", "source_id")) == {
        (blue, green): 4,
        (blue, HUB): 4,
        (red, green): 8,
    }
    assert not postponed.filter(id__in=[each.id for each in held]).exists()


def test_a_source_has_no_more_under_way_than_its_share(world: World) -> None:
    green, blue, red = (world.ids[name] for name in ("green", "blue", "red"))
    store.append(
        [message(blue, subject=f"{name} {n}", source=world.ids[name]) for name in ("green", "red") for n in range(9)]
    )
    taken = claims.claim(
        {blue: Room(40, MANY)}, lease_s=10, most_of_one_source=6, open_requests={(blue, green): 5, (red, green): 6}
    )
    assert sorted(subjects(taken)) == ["green 0", *(f"red {n}" for n in range(6))]


def test_many_sources_get_no_more_together_than_there_is_room(world: World) -> None:
    blue = world.ids["blue"]
    for name in ("green", "red", "blue"):
        store.append([message(blue, subject=f"{name} {n}", source=world.ids[name]) for n in range(2)])
    taken = claim(world, 1)
    assert (len(taken.messages), taken.has_more) == (1, {blue})
    assert len({subject.split()[0] for subject in subjects(claim(world, 3))}) == 3


def test_bodies_are_taken_until_they_fill_what_is_left(world: World) -> None:
    blue = world.ids["blue"]
    append_in_turn([message(blue, subject=str(n), body=b"x" * 100) for n in range(9)])
    taken = claim(world, octets=250)
    assert subjects(taken) == ["0", "1", "2"]
    assert taken.has_more == {blue}
    store.append([message(world.ids["red"], body=b"x" * 5_000_000)])
    assert len(claim(world, to="red", octets=1).messages) == 1  # however large: nothing would ever leave room for it


def test_messages_of_one_subject_wait_for_each_other_and_are_not_looked_at_meanwhile(world: World) -> None:
    blue = world.ids["blue"]
    store.append([message(blue, f"/transfers/{n}", subject="T") for n in range(3)])
    first = claim(world)
    assert [each.path for each in first.messages] == ["/transfers/0"]
    waiting = Message.objects.filter(due_at__gt=F("created_at") + timedelta(seconds=1.9))
    assert waiting.count() == 2
    assert not claim(world).messages
    store.delivered([(first.messages[0].id, 200)])
    assert waiting.count() == 1
    assert [each.path for each in claim(world).messages] == ["/transfers/1"]


def test_the_next_of_a_subject_comes_before_all_that_are_not_postponed_yet(world: World) -> None:
    """Otherwise each of a million answers about one transfer would wait until all others have been looked at."""
    append_in_turn([message(world.ids["blue"], subject="s") for _ in range(30)])
    first = claim(world, 5)
    assert len(first.messages) == 1
    assert first.postponed == {(world.ids["blue"], HUB): 4}
    store.delivered([(first.messages[0].id, 200)])
    assert [each.id for each in claim(world, 1).messages] == [first.messages[0].id + 1]


def test_a_message_that_is_given_up_lets_the_next_of_its_subject_go(world: World) -> None:
    blue = world.ids["blue"]
    store.append([message(blue, f"/transfers/{n}", subject="T") for n in range(2)])
    first = claim(world).messages[0]
    store.postpone([Failure(first, 0, "refused", is_dead=True)])
    assert [each.path for each in claim(world).messages] == ["/transfers/1"]


def test_a_successor_that_missed_its_predecessors_end_is_looked_at_again_all_the_same(world: World) -> None:
    blue = world.ids["blue"]
    store.append([message(blue, f"/transfers/{n}", subject="T") for n in range(2)])
    claim(world)
    Message.objects.filter(path="/transfers/0").delete()  # by hand: nobody lets the next one go
    assert not claim(world).messages
    waits = Message.objects.get().due_at - Message.objects.get().created_at
    assert timedelta(seconds=1.9) < waits < timedelta(seconds=5)
    Message.objects.update(due_at=Now())
    assert [each.path for each in claim(world).messages] == ["/transfers/1"]


def test_delivering_and_putting_off_at_once_leave_no_message_behind(committed_world: World) -> None:
    """Two couriers, a hundred subjects of three messages each: whoever of the two is first, all of it is delivered."""
    blue = committed_world.ids["blue"]
    store.append([message(blue, f"/transfers/{s}-{n}", subject=str(s)) for n in range(3) for s in range(100)])
    order: dict[str, list[str]] = {}
    guard = threading.Lock()

    def courier() -> None:
        try:
            for _ in range(400):
                taken = claim(committed_world, 7).messages
                with guard:
                    for each in taken:
                        order.setdefault(each.subject, []).append(each.path[-1])
                store.delivered([(each.id, 200) for each in taken])
                if not taken and Delivery.objects.count() == 300:
                    return
        finally:
            connection.close()

    with ThreadPoolExecutor(2) as threads:
        for finished in [threads.submit(courier) for _ in range(2)]:
            finished.result()
    assert Delivery.objects.count() == 300
    assert set(map("".join, order.values())) == {"012"}


def test_a_state_answer_takes_the_place_of_the_one_that_waits(world: World) -> None:
    blue = world.ids["blue"]
    for n in range(1000):
        store.append([message(blue, body=b"%d" % n, source=blue, if_pending=IfPending.RENEW)])
    waiting = Message.objects.get()
    assert bytes(waiting.body) == b"999"
    store.append([message(blue, "/transfers/other", source=blue, if_pending=IfPending.RENEW)])
    store.append([message(blue, kind="end-to-payer")])
    assert Message.objects.count() == 3
    taken = claim(world).messages  # the first of the subject alone
    assert [each.id for each in taken] == [waiting.pk]
    store.append([message(blue, body=b"new", source=blue, if_pending=IfPending.RENEW)])
    assert Message.objects.count() == 4  # one that is being sent is sent as it is


def test_an_end_that_waits_is_not_reported_twice_and_keeps_its_words(world: World) -> None:
    blue = world.ids["blue"]
    store.append([message(blue, kind="end-to-payer", body=b"the payee's own")])
    for _ in range(3):
        store.append([message(blue, kind="end-to-payer", body=b"the hub's", if_pending=IfPending.SKIP)])
    assert bytes(Message.objects.get().body) == b"the payee's own"


def test_requests_are_given_up_by_their_age_of_each_requester_a_share(world: World) -> None:
    green, blue, red = (world.ids[name] for name in ("green", "blue", "red"))
    store.append([message(blue, "/quotes", subject=f"g{n}", source=green, reply_to=green) for n in range(250)])
    store.append([message(blue, "/quotes", subject="r", source=red, reply_to=red)])
    store.append([message(blue, "/transfers/T", subject="t", source=red)])  # nobody waits for an answer to it
    Message.objects.update(created_at=Now() - timedelta(seconds=21))
    store.append([message(blue, "/quotes", subject="young", source=red, reply_to=red)])
    assert retries.give_up_overdue() == {green, red}
    dead = Message.objects.filter(state="DEAD")
    assert (dead.filter(reply_to=green).count(), dead.filter(reply_to=red).count()) == (100, 1)
    notices = Message.objects.filter(kind="undeliverable")
    assert notices.count() == 101
    assert {notice.path for notice in notices} == {"/quotes/Q/error"}
    for _ in range(2):
        retries.give_up_overdue()
    assert Message.objects.filter(state="DEAD").count() == 251
    assert set(Message.objects.filter(state="PENDING", kind="state").values_list("subject", flat=True)) == {
        "t",
        "young",
    }


def test_each_requester_has_its_turn_in_a_batch_of_overdue_requests(world: World) -> None:
    requesters = {name: world.ids[name] for name in ("green", "blue", "red", "grey")}
    for name, count in {"green": 5, "blue": 5, "red": 5, "grey": 1}.items():
        of = requesters[name]
        store.append([message(of, "/quotes", subject=f"{name}{n}", source=of, reply_to=of) for n in range(count)])
    execute("UPDATE outbox_message SET created_at = created_at - interval '1 hour' + id * interval '1 millisecond'")

    def found(most: int) -> set[str]:
        keys = store.overdue(older_than_s=20, most_of_one=5, most=most)
        return set(Message.objects.filter(id__in=keys).values_list("subject", flat=True))

    firsts = {"green0", "blue0", "red0", "grey0"}
    assert found(4) == firsts
    assert found(7) == firsts | {"green1", "blue1", "red1"}
    assert len(found(100)) == 16


def test_who_has_too_many_waiting_at_whom(world: World) -> None:
    green, blue, red = (world.ids[name] for name in ("green", "blue", "red"))
    store.append([message(blue, subject=f"{n}", source=green) for n in range(5)])
    store.append([message(blue, subject=f"{n}", source=red) for n in range(4)])
    store.append([message(green, subject=f"{n}") for n in range(9)])  # ends are not counted
    assert claims.crowded(5) == {("green", "blue")}
    assert claims.crowded(4) == {("green", "blue"), ("red", "blue")}
    assert claims.crowded(6) == frozenset()


def fill(destination: int, count: int, *, subject: str, source: int = 0) -> None:
    """Rows as SQL makes them, by the thousand."""
    execute(
        f"""INSERT INTO outbox_message (destination_id, source_id, method, path, headers, body, subject, kind,
                                        signed_by_hub)
            SELECT %s, %s, 'PUT', '/transfers/T', '{{}}', '{{}}', {subject}, 'state', false
            FROM generate_series(1, %s) n""",
        [destination, source, count],
    )


@pytest.mark.parametrize("subject", ["'one'", "n::text"])
def test_a_claim_for_others_costs_the_same_whatever_waits_at_one_destination(world: World, subject: str) -> None:
    """Counted in blocks that are read, which no neighbour on the machine changes."""
    green, blue = world.ids["green"], world.ids["blue"]

    def blocks() -> int:
        with transaction.atomic():
            plan = execute(
                f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {claims._DUE}", [[green, blue], [32, 32], 32, [], [], [], []]
            )
            found = plan.fetchone()[0][0]["Plan"]
        return found["Shared Hit Blocks"] + found["Shared Read Blocks"]

    store.append([message(blue, subject="b")])
    fill(green, 100, subject=subject)
    few = blocks()
    fill(green, 10_000, subject=subject)
    assert blocks() < few + 200
    assert "b" in subjects(claims.claim({green: Room(32, MANY), blue: Room(32, MANY)}, lease_s=10))
    assert claims.crowded(10**6) == frozenset()


def test_a_poll_among_thousands_of_its_subject_finds_one_to_renew(world: World) -> None:
    blue = world.ids["blue"]
    fill(blue, 10_000, subject="'s'", source=blue)
    store.append([message(blue, source=blue, if_pending=IfPending.RENEW)])
    assert Message.objects.count() == 10_000


@override_settings(OUTBOX_REQUEST_GIVE_UP_S=20)
def test_what_a_courier_holds_is_not_given_up_under_it(world: World) -> None:
    green, blue = world.ids["green"], world.ids["blue"]
    store.append([message(blue, "/quotes", source=green, reply_to=green)])
    Message.objects.update(created_at=Now() - timedelta(seconds=21))
    assert len(claim(world).messages) == 1
    assert retries.give_up_overdue() == set()
