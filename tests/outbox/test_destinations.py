"""Pauses of destinations: only those that give no response are paused, and no others because of them."""

from datetime import UTC, datetime

from hub.growing_pauses import FAILURES
from hub.outbox.claims import Claimed, Paused, Room
from hub.outbox.courier import Courier
from hub.outbox.destination_pauses import Destination, open_by_source


def message(source: int = 1, kind: str = "quote-request", *, size: int = 10) -> Claimed:
    return Claimed(
        id=1,
        destination_id=9,
        method="POST",
        path="/quotes",
        headers={},
        body=b"x" * size,
        subject="s",
        kind=kind,
        signed_by_hub=False,
        reply_to_id=source or None,
        error_path="/quotes/Q/error" if source else None,
        attempts=1,
        age_s=0.0,
        lease=datetime.now(UTC),
        source_id=source,
    )


def room(destination: Destination, now: float = 0.0) -> Room | None:
    return destination.room(now, most=40, most_at_once=100, most_octets=1000)


def pause(destination: Destination, sent: Claimed, now: float) -> float | None:
    return destination.pause_before(sent, now, probe_s=5.0)


def silent(destination: Destination, sent: Claimed, times: int, now: float = 0.0) -> None:
    for _ in range(times):
        destination.was_silent(sent, now)


def test_what_is_open_leaves_less_room_by_number_and_by_octets() -> None:
    destination = Destination(9)
    assert room(destination) == Room(40, 1000)
    for _ in range(3):
        destination.begins(message(size=300))
    assert room(destination) == Room(37, 100)
    destination.begins(message(size=5000))
    assert room(destination) is None
    destination.ends(message(size=5000))
    assert room(destination) == Room(37, 100)
    assert destination.open_by_source == {1: 3}


def test_a_source_whose_messages_are_only_postponed_rests_until_the_next_check() -> None:
    destination = Destination(9)
    destination.begins(message(source=2))
    destination.postponed({1: 299, 2: 1})
    assert open_by_source({9: destination}) == {(9, 2): 1}
    destination.postponed({1: 1})
    claimable = open_by_source({9: destination})
    assert claimable[9, 2] == 1
    assert claimable[9, 1] > 100_000, "a claim has room for this source"
    destination.checked()
    assert open_by_source({9: destination}) == {(9, 2): 1}


def test_only_paused_kinds_of_a_source_that_rests_are_postponed_together() -> None:
    destination = Destination(9)
    silent(destination, message(), FAILURES)
    destination.was_silent(message(kind="request"), 0.0)  # not often enough for a pause
    destination.postponed({1: 299})
    assert destination.crowded(0.2, probe_s=5.0) == []
    destination.postponed({1: 1})
    assert destination.crowded(0.25, probe_s=5.0) == [Paused(9, 1, "quote-request", 0.25)]
    assert destination.crowded(0.5, probe_s=5.0) == [], "the next one is a probe"
    assert pause(destination, message(), 0.5) is None
    assert destination.crowded(0.5, probe_s=5.0) == [Paused(9, 1, "quote-request", 5.0)]
    destination.checked()
    assert destination.crowded(0.5, probe_s=5.0) == []


def test_a_destination_that_hangs_on_one_sources_messages_gets_all_others() -> None:
    destination = Destination(9)
    hopeless = message(source=1, kind="request")
    silent(destination, hopeless, 1000)
    assert room(destination) == Room(40, 1000)
    assert pause(destination, hopeless, 0.1) is not None
    for other in (
        message(source=2, kind="request"),
        message(source=1, kind="quote-request"),
        message(0, "end-to-payer"),
    ):
        assert pause(destination, other, 0.1) is None


def test_a_destination_that_hangs_on_one_kind_from_everybody_still_gets_what_it_answers() -> None:
    destination = Destination(9)
    for _ in range(50):
        for source in (1, 2, 3):
            destination.was_silent(message(source, "party-request"), 0.0)
            destination.answered(message(source, "quote-request"))
    assert room(destination) == Room(40, 1000)
    assert pause(destination, message(1, "party-request"), 0.1) is not None
    assert pause(destination, message(1, "quote-request"), 0.1) is None


def test_one_of_a_silent_stream_is_sent_after_the_pause_and_the_others_wait_for_it() -> None:
    destination = Destination(9)
    silent(destination, message(), FAILURES)
    assert pause(destination, message(), 0.25) == 0.25
    assert pause(destination, message(), 0.5) is None
    assert pause(destination, message(), 0.5) == 5.0
    destination.was_silent(message(), 0.6)
    assert pause(destination, message(), 0.7) == 0.6 + 1.0 - 0.7  # twice as long, once more
    destination.answered(message())
    assert pause(destination, message(), 0.7) is None


def test_a_probe_that_the_hub_itself_cannot_send_is_followed_by_another_probe() -> None:
    destination, courier = Destination(9), Courier()
    silent(destination, message(), FAILURES)
    probe = message()
    assert pause(destination, probe, 0.5) is None
    destination.begins(probe)
    courier._loop.run_until_complete(courier._deliver(destination, probe, url=None))
    assert pause(destination, message(), 0.6) is None
    assert pause(destination, message(), 0.6) == 5.0
    courier._loop.close()


def test_a_destination_that_answers_nobody_is_left_alone_and_asked_now_and_then() -> None:
    destination = Destination(9)
    for n in range(FAILURES + 1):
        destination.was_silent(message(source=n % 2 + 1), 0.0)
    assert room(destination, 0.4) is None
    found = room(destination, 0.5)
    assert found is not None
    assert found.messages == 4  # claims are fair, so these are of four sources, if there are so many
    assert pause(destination, message(), 0.5) is None
    longest = 0.0
    now = 0.5
    for _ in range(20):
        longest = max(longest, destination.was_silent(message(), now))
        now += longest
    assert longest == 30.0


def test_a_destination_that_is_back_gets_everything_at_once() -> None:
    destination = Destination(9)
    for n in range(40):
        destination.was_silent(message(source=n % 2 + 1), 0.0)
    destination.answered(message(source=1))
    assert room(destination, 0.1) == Room(40, 1000)
    assert pause(destination, message(source=2), 0.1) is None


def test_what_was_sent_before_a_pause_does_not_lengthen_it() -> None:
    destination = Destination(9)
    for n in range(FAILURES + 30):
        destination.was_silent(message(source=n % 2 + 1), 0.0)
    assert room(destination, 0.5) is not None


def test_a_destination_whose_messages_the_database_does_not_give_is_left_alone_by_itself() -> None:
    destination = Destination(9)
    assert destination.could_not_be_claimed(0.0) == 0.5
    assert room(destination, 0.4) is None
    assert destination.could_not_be_claimed(0.5) == 1.0
