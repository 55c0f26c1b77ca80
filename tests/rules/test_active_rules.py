"""Which version of the rules judges payments: versions, activations, roll-back, exceptions, and other processes."""

import threading
import time
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection, connections, transaction
from django.db.utils import DatabaseError

from fspiop.errors import FspiopError
from hub.audit.models import Entry
from rules.language.faults import RuleSetRefused
from rules.rulesets import active_rules, queries, services
from rules.rulesets.models import Activation, RuleSetVersion
from tests.directory.requests import counted_statements
from tests.rules.rule_sets import above, activate, cap, create, document, refuse, rule
from tests.world import World


def active() -> int | None:
    found = active_rules.current()
    return None if found is None else found.version


def test_without_a_version_a_process_asks_once_a_second(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    with counted_statements() as sent:
        assert [active() for _ in range(100)] == [None] * 100
    assert len(sent) == 1
    monkeypatch.setattr(active_rules, "_REFRESH_S", 0.0)
    with counted_statements() as sent:
        active()
    assert len(sent) == 1


def test_a_version_is_live_in_a_process_that_knew_of_none(committed_world: World) -> None:
    assert active() is None
    other = active_rules._process
    active_rules.forget()
    number = activate(cap("10"))
    active_rules._process = other  # it has just asked, and heard of no version
    began = time.monotonic()
    while active() is None:
        time.sleep(0.02)
    assert active() == number
    assert time.monotonic() - began < 2


def test_a_group_takes_one_statement_and_keeps_what_is_compiled(world: World) -> None:
    activate(cap("10"))
    first = active_rules.current()
    with counted_statements() as sent:
        assert active_rules.current() is first
    assert len(sent) == 1
    assert first is not None
    assert [each.id for each in first.compiled("quote").rules] == ["cap-10"]
    assert first.compiled("transfer").rules == ()
    assert [each.id for each in first.for_transfers_without_quote.rules] == ["cap-10"]


def test_a_version_is_compiled_before_it_is_active(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    number = create(cap("10")).pk
    assert active() is None  # a process hears of the version
    process = active_rules._process
    for _ in range(200):
        if process.compiled.get(number) is not None:
            break
        time.sleep(0.02)
    services.activate(number, reason="test", actor="asha")
    compiling: list[str] = []
    monkeypatch.setattr(
        active_rules, "compile_rules", lambda *_, **__: compiling.append(threading.current_thread().name)
    )
    assert active() == number
    assert compiling == []
    again = create(cap("20")).pk
    active()
    for _ in range(200):
        if not process.preparing.locked():
            break
        time.sleep(0.02)
    assert set(compiling) == {"rules"}, "by the thread, and not by a payment's"
    assert set(process.compiled) == {number, again}


@pytest.mark.parametrize("place", ["the content", "the thread"])
def test_a_fault_before_a_compilation_begins_does_not_stop_later_compilations(
    world: World, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    def fails(*_: object) -> None:
        raise RuntimeError("no room")

    number = create(cap("10")).pk
    process = active_rules._process
    monkeypatch.setattr(active_rules, "_REFRESH_S", 0.0)
    with monkeypatch.context() as faulty:
        of, name = (active_rules.sql_for_payments, "content") if place == "the content" else (threading.Thread, "start")
        faulty.setattr(of, name, fails)
        with pytest.raises(RuntimeError, match="no room"):
            active()
    assert not process.preparing.locked()
    assert process.compiled == {}
    active()
    for _ in range(200):
        if not process.preparing.locked():
            break
        time.sleep(0.02)
    assert process.compiled[number] is not None


def test_a_process_compiles_the_active_version_when_it_starts(
    committed_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = activate(cap("10"))
    active_rules.forget()
    active_rules.begin_to_load().join(10)
    monkeypatch.setattr(active_rules, "compile_rules", None)
    assert active() == number


def test_the_period_that_began_last_applies_and_an_earlier_one_after_it(world: World) -> None:
    old = activate(cap("10"))
    soon = datetime.now(UTC) + timedelta(seconds=0.3)
    new = activate(cap("20"), valid_from=soon, valid_until=soon + timedelta(seconds=0.4))
    assert active() == old
    assert [each.version_id for each in queries.planned()] == [new]
    time.sleep(0.35)
    assert active() == new
    time.sleep(0.4)
    assert active() == old


def test_a_roll_back_is_an_activation_of_the_version_before(world: World) -> None:
    old, new = activate(cap("10")), activate(cap("20"))
    assert active() == new
    before = queries.before_active()
    assert before is not None
    assert before.version_id == old
    services.activate(before.version_id, reason="it refused too much", actor="asha, approved by ben")
    assert active() == old
    services.activate(None, reason="none at all", actor="asha, approved by ben")
    assert active() is None
    before = queries.before_active()
    assert before is not None
    assert before.version_id == old
    assert Entry.objects.filter(action="rules_activated").count() == 4


def test_an_activation_is_cancelled_before_it_begins_only(world: World) -> None:
    activate(cap("10"))
    (begun,) = Activation.objects.all()
    with pytest.raises(FspiopError, match="already apply"):
        services.cancel(begun.pk, reason="no", actor="asha")
    begins = datetime.now(UTC) + timedelta(seconds=1)
    activate(cap("20"), valid_from=begins)
    planned = queries.planned().get()
    services.cancel(planned.pk, reason="not yet", actor="asha")
    time.sleep((begins - datetime.now(UTC)).total_seconds() + 0.05)
    assert active() == begun.version_id


def test_equal_rules_are_one_version_and_a_version_never_changes(world: World) -> None:
    version = create(cap("10"))
    assert create(cap("10")).pk == version.pk
    with pytest.raises(DatabaseError, match="Cannot update or delete"), transaction.atomic():
        RuleSetVersion.objects.update(content=document(cap("1000")))
    with pytest.raises(DatabaseError, match="Cannot update or delete"), transaction.atomic():
        RuleSetVersion.objects.filter(pk=version.pk).delete()


def test_faulty_rules_are_no_version(world: World) -> None:
    with pytest.raises(RuleSetRefused) as refused:
        create(cap("10"), rule("b", {"fact": "amuont", "is": "above", "value": 1}, refuse()))
    assert [fault.path for fault in refused.value.faults] == ["rules[1].if.fact"]
    assert not RuleSetVersion.objects.exists()
    for number, valid_from in ((99, None), (create(cap("10")).pk, datetime.now(UTC) - timedelta(minutes=1))):
        with pytest.raises(FspiopError):
            services.activate(number, reason="", actor="asha", valid_from=valid_from)
    assert not Activation.objects.exists()


def test_an_exception_is_for_one_rule_and_one_dfsp_and_ends(world: World) -> None:
    activate(cap("10"), rule("b", above("20"), refuse()))
    until = datetime.now(UTC) + timedelta(days=1)
    services.grant_variance("cap-10", "green", until=until, reason="agreed", actor="asha")
    found = active_rules.current()
    assert found is not None
    assert found.variances == {"cap-10": {"green": until}}
    services.grant_variance("cap-10", "green", until=datetime.now(UTC), reason="over", actor="asha")
    found = active_rules.current()
    assert found is not None
    assert found.variances["cap-10"]["green"] < datetime.now(UTC)
    faulty = [("cap-10", "nobody", until), ("cap-11", "green", until), ("b", "green", until + timedelta(days=400))]
    for rule_id, name, end in faulty:
        with pytest.raises(FspiopError):
            services.grant_variance(rule_id, name, until=end, reason="", actor="asha")


def test_an_activation_waits_for_the_groups_that_have_begun(committed_world: World) -> None:
    old, new = activate(cap("10")), create(cap("20")).pk
    has_read, may_end, seen = threading.Event(), threading.Event(), []

    def group() -> None:
        with transaction.atomic():
            seen.append(active())
            has_read.set()
            assert may_end.wait(10)
            seen.append(active())
        seen.append(active())
        connections.close_all()

    def activated() -> None:
        services.activate(new, reason="test", actor="asha")
        connections.close_all()

    threads = [threading.Thread(target=group), threading.Thread(target=activated)]
    threads[0].start()
    assert has_read.wait(10)
    threads[1].start()
    time.sleep(0.3)
    assert committed() == old  # the activation waits, so it is not committed
    may_end.set()
    for thread in threads:
        thread.join(10)
    assert seen[:2] == [old, old]
    assert active() == new


def committed() -> int | None:
    """Without the lock, which the waiting activation would keep from everybody who comes after it."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT version_id FROM rules_rulesets_activation ORDER BY id DESC LIMIT 1")
        number: int = cursor.fetchone()[0]
    return number
