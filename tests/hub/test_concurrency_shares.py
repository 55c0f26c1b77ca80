"""How callers share places, with the sizes of an oracle's and of its batches'."""

import threading
import time
from contextlib import ExitStack

import pytest

from directory.oracle_client import sizes_of
from hub.concurrency_shares import NoPlace, Places, Sizes

SIZES = sizes_of(4)  # each caller's first, four more, of which one caller gets two
BATCHES = Sizes(most=2, shared=0, share=0, waiting=8, waiting_share=0)


class Hall:
    """Callers that hold places until they are told to go."""

    def __init__(self, sizes: Sizes = SIZES) -> None:
        self.places, self.sizes, self.held = Places(), sizes, ExitStack()
        self.came: list[int] = []
        self.refused: list[int] = []
        self._threads: list[threading.Thread] = []

    def take(self, *callers: int) -> None:
        for caller in callers:
            self.held.enter_context(self.places.taken(caller, self.sizes, wait_s=0))

    def refuses(self, caller: int) -> bool:
        try:
            with self.places.taken(caller, self.sizes, wait_s=0):
                return False
        except NoPlace:
            return True

    def wait(self, caller: int, *, wait_s: float = 10, stays: threading.Event | None = None) -> threading.Thread:
        """Waits in a thread until it came or was refused. One that came holds its place until `stays` is set."""

        def run() -> None:
            try:
                with self.places.taken(caller, self.sizes, wait_s=wait_s):
                    self.came.append(caller)
                    if stays is not None:
                        stays.wait(10)
            except NoPlace:
                self.refused.append(caller)

        before = len(self.places._waiting)
        thread = threading.Thread(target=run)
        thread.start()
        self._threads.append(thread)
        end = time.monotonic() + 5
        while len(self.places._waiting) == before and thread.is_alive() and time.monotonic() < end:
            time.sleep(0.002)
        return thread

    def until_came(self, count: int) -> None:
        end = time.monotonic() + 5
        while len(self.came) < count and time.monotonic() < end:
            time.sleep(0.002)

    def end(self) -> None:
        self.held.close()
        for thread in self._threads:
            thread.join(10)


def test_one_caller_holds_its_own_place_and_half_of_the_shared_ones() -> None:
    hall = Hall()
    hall.take(1, 1, 1)
    assert hall.refuses(1)
    hall.take(2, 2, 2)
    assert hall.refuses(3) is False


def test_a_callers_first_place_does_not_depend_on_how_many_others_hold() -> None:
    hall = Hall()
    hall.take(1, 1, 1, 2, 2, 2)
    hall.take(3, 4)
    assert hall.refuses(3)  # the shared ones are gone
    assert hall.refuses(5)  # and eight is all there is
    hall.end()
    hall.take(5, 5, 5)


def test_who_holds_fewest_is_next() -> None:
    hall = Hall()
    hall.take(1, 2, 2, 2, 3, 3, 7)
    with hall.places.taken(4, SIZES):
        # Each that comes stays, so that every place which becomes free is given to one caller that waits.
        stay = threading.Event()
        hall.wait(1, stays=stay)
        hall.wait(5, stays=stay)
        hall.wait(6, stays=stay)
    hall.until_came(1)
    assert hall.came == [5]  # it holds none, as 6, and waits longer; 1 waits longer still and might have a second
    with hall.places._guard:
        assert [waiting.caller for waiting in hall.places._waiting] == [1, 6]
    stay.set()
    hall.end()
    assert sorted(hall.came) == [1, 5, 6]


def test_a_caller_that_fills_the_waiting_room_gives_way_to_one_that_has_nobody_in_it() -> None:
    hall = Hall()
    hall.take(1, 1, 1, 2, 2, 2, 3, 4)
    for caller in (1, 1, 2, 2):
        hall.wait(caller)
    assert hall.refuses(1)  # its part of those that wait
    hall.wait(5)
    assert len(hall.refused) == 1
    assert hall.refused[0] in (1, 2)
    hall.end()
    assert sorted(hall.came + hall.refused) == [1, 1, 2, 2, 5]
    assert 5 in hall.came


def test_who_waited_in_vain_is_refused_and_takes_nothing() -> None:
    hall = Hall()
    hall.take(1, 1, 1)
    hall.wait(1, wait_s=0.05).join(5)
    assert hall.refused == [1]
    hall.end()
    hall.take(1, 1, 1)


def test_a_caller_has_one_batch_and_a_third_caller_waits_for_its_turn() -> None:
    hall = Hall(BATCHES)
    hall.take(1)
    assert hall.refuses(1)
    hall.take(2)
    hall.wait(3)
    assert hall.refuses(3)  # while its first waits
    hall.end()
    assert hall.came == [3]


def test_nothing_is_lost_where_many_come_and_go() -> None:
    places, most, errors = Places(), [0], []
    inside: list[int] = []

    def run(caller: int) -> None:
        for _ in range(200):
            try:
                with places.taken(caller, SIZES, wait_s=0.01):
                    inside.append(caller)
                    most[0] = max(most[0], len(inside))
                    time.sleep(0.0001)
                    inside.remove(caller)
            except NoPlace:
                pass
            except BaseException as error:
                errors.append(error)

    threads = [threading.Thread(target=run, args=(number % 5,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert errors == []
    assert most[0] <= SIZES.most
    assert places._held.total() == 0
    assert places._waiting == []


def test_where_nobody_may_wait_the_next_is_refused_at_once() -> None:
    hall = Hall(Sizes(most=2, shared=2, share=1, waiting=0, waiting_share=0))
    hall.take(1, 1)
    assert hall.refuses(1)
    assert hall.refuses(2)


@pytest.mark.parametrize("shared", [1, 2, 3])
def test_where_few_places_are_shared_each_caller_has_its_first(shared: int) -> None:
    hall = Hall(sizes_of(shared))
    hall.take(1, 1)
    assert hall.refuses(1)
    hall.take(2, 3, 4)
