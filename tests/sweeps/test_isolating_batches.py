"""A batch with bad rows in it: the others are worked on, the bad ones are skipped, shown, and tried again."""

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import pytest
from django.db import DataError, OperationalError, connection, transaction
from django.db.models.functions import Now
from psycopg import errors as pg
from redis.exceptions import ConnectionError as RedisAway

from hub.sweeps import isolating_batches, queries, store
from hub.sweeps.models import SkippedRow

pytestmark = pytest.mark.django_db


@dataclass
class Rows:
    """Rows that wait, in order; `work` takes a group of them, or fails where a bad one is in it."""

    waiting: list[str]
    bad: set[str] = field(default_factory=set)
    groups: list[list[str]] = field(default_factory=list)
    cost_s: float = 0.0
    error: Exception = field(default_factory=lambda: ValueError("this row is bad"))

    def find(self, most: int) -> list[str]:
        skipped = set(SkippedRow.objects.filter(batch="b").values_list("row", flat=True))
        return [row for row in self.waiting if row not in skipped][:most]

    def work(self, rows: list[str]) -> int:
        self.groups.append(rows)
        time.sleep(self.cost_s)
        if self.bad & set(rows):
            raise self.error
        taken = set(rows) & set(self.waiting)
        self.waiting = [row for row in self.waiting if row not in rows]
        return len(taken)

    def run(self, most: int = 500) -> int:
        return isolating_batches.in_groups("b", find=self.find, work=self.work, most=most)


def names(numbers: Iterable[int]) -> list[str]:
    return [f"r{number:04}" for number in numbers]


def skipped() -> list[tuple[str, int]]:
    return list(SkippedRow.objects.order_by("row").values_list("row", "attempts"))


def time_passes() -> None:
    SkippedRow.objects.update(due_at=Now())


def test_a_group_without_a_bad_row_is_one_call_and_nothing_is_remembered() -> None:
    rows = Rows(names(range(700)))
    assert rows.run() == 700
    assert [len(group) for group in rows.groups] == [500, 200]
    assert skipped() == []


def test_one_bad_row_is_skipped_and_the_others_are_worked_on_in_few_calls() -> None:
    rows = Rows(names(range(500)), bad={"r0000"})
    assert rows.run() == 499
    assert rows.waiting == ["r0000"]
    assert len(rows.groups) <= 2 * 9 + 1
    assert skipped() == [("r0000", 1)]
    row = SkippedRow.objects.get()
    assert row.error == "ValueError: this row is bad"
    assert 9 < (row.due_at - row.last_at).total_seconds() < 11


def test_a_row_that_stays_bad_is_tried_again_ever_more_seldom_and_alone() -> None:
    rows = Rows(names(range(10)), bad={"r0000"})
    rows.run()
    pauses = []
    for _ in range(9):
        rows.groups = []
        rows.waiting = ["r0000", *names(range(100, 110))]
        rows.run()  # it is not due: the others are not held up by it
        assert rows.groups == [names(range(100, 110))]
        time_passes()
        rows.groups = []
        rows.run()
        assert rows.groups == [["r0000"]]
        row = SkippedRow.objects.get()
        pauses.append(round((row.due_at - row.last_at).total_seconds()))
    assert pauses == [20, 40, 80, 160, 320, 600, 600, 600, 600]
    assert skipped() == [("r0000", 10)]


def test_a_row_that_was_mended_ends_and_is_forgotten() -> None:
    rows = Rows(names(range(10)), bad={"r0003"})
    assert rows.run() == 9
    rows.bad.clear()
    assert rows.run() == 0  # not due yet
    time_passes()
    assert rows.run() == 1
    assert (rows.waiting, skipped()) == ([], [])


def test_a_common_cause_that_was_mended_lets_all_end_in_groups_again() -> None:
    rows = Rows(names(range(64)), bad=set(names(range(64))))
    assert rows.run() == 0
    assert len(skipped()) == 64
    rows.bad.clear()
    rows.groups = []
    time_passes()
    assert rows.run() == 64
    assert [len(group) for group in rows.groups] == [1, 2, 4, 8, 16, 32, 1]


@pytest.mark.slow
def test_many_slow_bad_rows_take_a_tick_no_longer_than_its_time_and_hold_up_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(isolating_batches, "_FOR_S", 0.2)
    monkeypatch.setattr(isolating_batches, "_AGAIN_FOR_S", 0.1)
    rows = Rows(names(range(60)), bad=set(names(range(40))), cost_s=0.1)
    began = time.monotonic()
    rows.run(most=40)
    assert time.monotonic() - began < 4  # all of them one after the other take eight
    assert len(skipped()) == 40  # all of the group that failed, told apart or not
    assert sum(attempts for _, attempts in skipped()) < 10
    assert rows.run(most=40) == 20  # the next tick begins with those that nobody has tried
    for _ in range(100):
        time_passes()
        rows.run(most=40)
        if all(attempts for _, attempts in skipped()):
            break
    assert [row for row, attempts in skipped() if attempts] == names(range(40))


def test_good_rows_among_those_that_were_not_told_apart_end_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(isolating_batches, "_FOR_S", 0.0)
    rows = Rows(names(range(40)), bad={"r0000", "r0020"})
    assert rows.run() == 0
    monkeypatch.undo()
    for _ in range(40):
        time_passes()
        rows.run()
        if len(skipped()) == 2:
            break
    assert rows.waiting == ["r0000", "r0020"]


def test_a_database_or_a_cache_that_is_away_is_no_row_s_fault() -> None:
    for error in (OperationalError("the connection is lost"), RedisAway("gone")):
        rows = Rows(names(range(4)), bad={"r0000"}, error=error)
        with pytest.raises(type(error)):
            rows.run()
        assert len(rows.groups) == 1
        assert skipped() == []


@pytest.mark.parametrize("cause", [pg.QueryCanceled, pg.LockNotAvailable, pg.DeadlockDetected])
def test_a_row_that_takes_too_long_or_that_somebody_holds_is_skipped_alone(cause: type[pg.Error]) -> None:
    error = OperationalError("canceling statement")
    error.__cause__ = cause("canceling statement")
    rows = Rows(names(range(4)), bad={"r0000"}, error=error)
    assert rows.run() == 3
    assert skipped() == [("r0000", 1)]


def test_what_postgresql_says_besides_is_neither_kept_nor_logged(capfd: pytest.CaptureFixture[str]) -> None:
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE pg_temp.secrets (number text CHECK (number <> '255700000001'))")

    def work(rows: list[str]) -> int:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("INSERT INTO pg_temp.secrets VALUES ('255700000001')")
        return 1

    isolating_batches.in_groups("b", find=Rows(["r"]).find, work=work, most=1)
    assert SkippedRow.objects.get().error.startswith("CheckViolation: new row for relation")
    assert "255700000001" not in SkippedRow.objects.get().error + capfd.readouterr().err


def test_any_text_of_an_error_can_be_kept() -> None:
    rows = Rows(["r"], bad={"r"}, error=DataError("a \0 and a \ud800 " + "x" * 1000))
    rows.run()
    assert SkippedRow.objects.get().error.startswith("DataError: a \ufffd and a ? xxx")


def test_a_batch_whose_rows_cannot_be_found_says_so_and_stops_saying_so() -> None:
    rows = Rows(["r"])

    def fail(most: int) -> list[str]:
        raise ValueError("no plan")

    assert isolating_batches.in_groups("b", find=fail, work=rows.work, most=1) == 0
    assert skipped() == [("*", 1)]
    assert rows.run() == 1
    assert skipped() == []


def test_a_batch_that_another_process_is_at_says_nothing_about_its_rows() -> None:
    rows = Rows(names(range(4)), bad={"r0000"}, error=isolating_batches.Busy())
    assert rows.run() == 0
    assert skipped() == []

    def find(most: int) -> list[str]:
        raise isolating_batches.Busy

    assert isolating_batches.in_groups("b", find=find, work=rows.work, most=1) == 0
    assert skipped() == []


def test_rows_that_another_process_holds_are_tried_once_and_hold_up_no_others() -> None:
    rows = Rows(names(range(5)))
    calls: list[Any] = []
    assert isolating_batches.in_groups("b", find=rows.find, work=lambda rows: calls.append(rows) or 0, most=2) == 0
    assert calls == [["r0000", "r0001"], ["r0002", "r0003"], ["r0004"]]


def test_two_processes_do_not_try_the_same_rows_again() -> None:
    store.remember("b", ["x", "y"], "bad", attempts=1)
    store.remember("other", ["x"], "bad", attempts=1)
    time_passes()
    assert store.claim("b", 1) == ["x"]
    assert store.claim("b", 5) == ["y"]
    assert store.claim("b", 5) == []


def test_where_each_row_builds_on_those_before_nothing_is_done_past_a_bad_one() -> None:
    rows = Rows(names(range(10)), bad={"r0003"})
    rows.find = lambda most: rows.waiting[:most]  # type: ignore[method-assign]

    def run() -> int:
        return isolating_batches.in_order("b", find=rows.find, work=rows.work, most=8, for_s=5)

    assert run() == 3
    assert skipped() == [("r0003", 1)]
    rows.groups = []
    assert run() == 0
    assert rows.groups == []  # not tried until it is due
    time_passes()
    assert run() == 0
    assert rows.groups == [["r0003"]]
    rows.bad.clear()
    time_passes()
    assert run() == 7
    assert (rows.waiting, skipped()) == ([], [])


def test_one_of_a_few_rows_that_fails_keeps_the_others_from_nothing() -> None:
    done: list[str] = []
    bad = {"a"}

    def work(row: str) -> None:
        done.append(row)
        if row in bad:
            raise ValueError("bad")

    def run() -> list[str]:
        done.clear()
        isolating_batches.one_by_one("b", {"a": "a", "b": "b", "c": "c"}, work)
        return done

    assert run() == ["a", "b", "c"]
    assert skipped() == [("a", 1)]
    assert run() == ["b", "c"]
    time_passes()
    assert run() == ["a", "b", "c"]
    assert skipped() == [("a", 2)]
    bad.clear()
    time_passes()
    run()
    assert skipped() == []
    store.remember("b", ["gone"], "bad", attempts=1)
    run()
    assert skipped() == []


def test_a_tick_that_fails_keeps_those_after_it_from_nothing_and_is_reported() -> None:
    done: list[str] = []

    def fail() -> int:
        raise ValueError("a fault")

    def work() -> int:
        done.append("worked")
        return 2

    with pytest.raises(ValueError, match="a fault"):
        isolating_batches.each(fail, work)
    assert done == ["worked"]
    assert isolating_batches.each(work, work) == 4


def test_operators_see_how_many_rows_each_batch_skips() -> None:
    store.remember("quotes", ["x", "y"], "bad", attempts=1)
    store.remember("lookups", ["*"], "bad", attempts=1)
    (metric,) = queries.show()
    shown = {sample.labels["batch"]: sample.value for sample in metric.samples}
    assert shown == {"lookups": 1, "quotes": 2}


def test_the_time_of_the_first_failure_is_kept() -> None:
    store.remember("b", ["x"], "bad", attempts=1)
    first = SkippedRow.objects.get()
    store.remember("b", ["x"], "worse", attempts=1)
    again = SkippedRow.objects.get()
    assert (again.first_at, again.error, again.attempts) == (first.first_at, "worse", 2)
    assert again.last_at > first.last_at
