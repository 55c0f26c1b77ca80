"""Lists of parties: files that two people make live, what every process sees of them, and kill switches."""

import threading
import time
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
from django.db import DatabaseError, IntegrityError, transaction

from hub.audit.models import Entry as AuditEntry
from rules import refreshed_name_sets
from rules.change_refused import NotChanged
from rules.lists import dfsp_corridor_and_name_keys, kill_switches, matches, services
from rules.lists.kill_switches import Payment, Stopped
from rules.lists.models import Entry, KillSwitch, ListVersion, PartyList, StagedFile, StagedLine
from rules.lists.party_files import BadFile, Line
from rules.party_keys import key_of
from rules.refreshed_name_sets import RefreshedKeySets
from tests.concurrency.together import together
from tests.rules.two_people import approve, ask, decide, person
from tests.world import World

ADA, BEN, CLEO = (key_of("MSISDN", f"25571200100{number}") for number in (1, 2, 3))
BLOCKED = frozenset({"blocked"})


def file_of(*parties: int, name: str = "") -> bytes:
    numbers = {ADA: "255712001001", BEN: "255712001002", CLEO: "255712001003"}
    lines = [f"MSISDN,{numbers[party]},{name}" if not name else "" for party in parties]
    return "\n".join(["type,identifier,name", *lines, *([f",,{name}"] if name else [])]).encode()


def put(*parties: int, into: str = "blocked", name: str = "") -> ListVersion:
    """A file as two people put it in force."""
    if not PartyList.objects.filter(name=into).exists():
        services.create(name=into, kind="BLOCK", actor="mary")
    staged = services.stage(into, file_name="a.csv", raw=file_of(*parties, name=name), actor="mary")
    version: ListVersion = decide("activate_list", {"list": into, "file": staged.pk, "sha256": staged.sha256})
    return version


@pytest.fixture
def another_process() -> RefreshedKeySets:
    """The copy that another process has of the same table."""
    ours = matches._keys
    return RefreshedKeySets(ours._change, pages=ours._pages, changed=ours._changed, found=ours._found)


@pytest.fixture
def statements(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The statements that copies of tables run."""
    found: list[str] = []
    execute = refreshed_name_sets.execute

    def run(statement: str, parameters: Any = ()) -> Any:
        found.append(statement)
        return execute(statement, parameters)

    monkeypatch.setattr(refreshed_name_sets, "execute", run)
    return found


def is_refreshed(copy: RefreshedKeySets) -> None:
    """Waits until no thread reads the table for this copy."""
    with copy._copy.refreshing:
        pass


def test_a_bad_file_is_refused_whole(world: World) -> None:
    services.create(name="blocked", kind="BLOCK", actor="mary")
    with pytest.raises(BadFile) as refused:
        services.stage("blocked", file_name="a.csv", raw=b"type,identifier\nMSISDN,1\nMSISDN,x\n", actor="mary")
    assert [str(fault) for fault in refused.value.faults] == ["line 3: identifier is not a valid MSISDN"]
    assert not StagedFile.objects.exists()
    assert not StagedLine.objects.exists()


def test_a_file_counts_once_a_second_person_has_approved_it(world: World) -> None:
    services.create(name="blocked", kind="BLOCK", actor="mary")
    staged = services.stage("blocked", file_name="a.csv", raw=file_of(ADA, BEN), actor="mary")
    request = ask("activate_list", {"list": "blocked", "file": staged.pk, "sha256": staged.sha256})
    assert matches.matches([ADA, BEN]) == {}
    version = approve(request)
    assert (version.number, version.added, version.removed, version.sha256) == (1, 2, 0, staged.sha256)
    assert matches.matches([ADA, BEN, CLEO]) == {ADA: BLOCKED, BEN: BLOCKED}
    assert not StagedLine.objects.exists()
    assert AuditEntry.objects.filter(action="list_changed", actor="mary, approved by chris").count() == 1
    with pytest.raises(NotChanged, match="no longer waits"):
        services.activate(staged.pk, sha256=staged.sha256, actor="mary")


def test_a_further_file_replaces_the_content_and_keeps_the_history(world: World) -> None:
    put(ADA, BEN)
    version = put(BEN, CLEO)
    assert (version.number, version.added, version.removed) == (2, 1, 1)
    assert matches.matches([ADA, BEN, CLEO]) == {BEN: BLOCKED, CLEO: BLOCKED}
    entries = Entry.objects.order_by("id").values_list("key", "added_by__number", "removed_by__number")
    assert list(entries) == [(ADA, 1, 2), (BEN, 1, None), (CLEO, 2, None)]
    assert (put().removed, matches.matches([ADA, BEN, CLEO])) == (2, {})


def test_single_parties_are_added_and_removed(world: World) -> None:
    put(ADA)
    payload = {"list": "blocked", "party": BEN}
    assert decide("block_party", payload).number == 2
    assert matches.matches([ADA, BEN]) == {ADA: BLOCKED, BEN: BLOCKED}
    with pytest.raises(NotChanged, match="since version 2"), transaction.atomic():
        services.add_entry("blocked", Line(BEN, "", "", ""), actor="mary")
    decide("unblock_party", payload)
    assert matches.matches([ADA, BEN]) == {ADA: BLOCKED}
    with pytest.raises(NotChanged, match="does not have"), transaction.atomic():
        services.remove_entry("blocked", Line(BEN, "", "", ""), actor="mary")
    assert PartyList.objects.get().version == 3


def test_a_party_on_several_lists(world: World) -> None:
    put(ADA)
    put(ADA, BEN, into="excluded")
    assert matches.matches([ADA, BEN]) == {ADA: frozenset({"blocked", "excluded"}), BEN: frozenset({"excluded"})}


@pytest.mark.parametrize("name", ["", "Big", "a b", "-a", "a" * 49, "kill-switch"])
def test_a_list_has_a_plain_name(world: World, name: str) -> None:
    with pytest.raises(NotChanged):
        services.create(name=name, kind="BLOCK", actor="mary")


def test_lists_have_a_length(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "MOST_KEYS", 1)
    with pytest.raises(NotChanged, match="at most 1 parties"):
        put(ADA, BEN)
    monkeypatch.setattr(services, "MOST_NAMES", 0)
    with pytest.raises(NotChanged, match="at most 0 names"):
        put(into="names", name="Joseph Kony")
    assert matches.matches([ADA, BEN]) == {}


def test_entries_and_versions_keep_their_content(world: World) -> None:
    put(ADA)
    for change in (
        lambda: Entry.objects.update(key=BEN),
        lambda: Entry.objects.all().delete(),
        lambda: ListVersion.objects.all().delete(),
    ):
        with pytest.raises(DatabaseError), transaction.atomic():
            change()


# --- what processes see -----------------------------------------------------------------------------------------------


def test_each_process_sees_a_change_within_a_second_and_runs_no_statement_meanwhile(
    committed_world: World, another_process: RefreshedKeySets, statements: list[str]
) -> None:
    put(ADA)
    assert another_process.of([ADA, BEN]) == {ADA: BLOCKED}
    is_refreshed(another_process)
    statements.clear()
    for _ in range(100):
        assert another_process.of([ADA, BEN]) == {ADA: BLOCKED}
    assert len(statements) <= 1
    put(BEN)
    changed_at = time.monotonic()
    while another_process.of([ADA, BEN]) != {BEN: BLOCKED}:
        assert time.monotonic() - changed_at < 1
        time.sleep(0.02)
    is_refreshed(another_process)
    statements.clear()
    time.sleep(refreshed_name_sets.FRESH_S)
    another_process.of([ADA])
    assert len(statements) == 1, "without a change only the number is read"


def test_a_change_that_is_rolled_back_is_in_no_copy(committed_world: World, statements: list[str]) -> None:
    put(ADA)
    assert matches.matches([ADA, BEN]) == {ADA: BLOCKED}
    is_refreshed(matches._keys)
    time.sleep(refreshed_name_sets.FRESH_S)
    with transaction.atomic():
        services.add_entry("blocked", Line(BEN, "", "", ""), actor="mary")
        assert matches.matches([ADA, BEN]) == {ADA: BLOCKED, BEN: BLOCKED}, "the transaction sees its own change"
        transaction.set_rollback(True)
    assert matches.matches([ADA, BEN]) == {ADA: BLOCKED}
    decide("block_party", {"list": "blocked", "party": CLEO})  # with the number that was rolled back
    time.sleep(refreshed_name_sets.FRESH_S)
    for _ in range(2):
        assert matches.matches([ADA, BEN, CLEO]) == {ADA: BLOCKED, CLEO: BLOCKED}
        is_refreshed(matches._keys)


def test_more_parties_than_a_copy_may_have_are_found_by_a_statement(
    committed_world: World, another_process: RefreshedKeySets, monkeypatch: pytest.MonkeyPatch, statements: list[str]
) -> None:
    monkeypatch.setattr(refreshed_name_sets, "MOST_KEYS", 1)
    put(ADA, BEN)
    for _ in range(2):
        statements.clear()
        assert another_process.of([ADA, BEN, CLEO]) == {ADA: BLOCKED, BEN: BLOCKED}
        is_refreshed(another_process)
    assert len(statements) == 1
    put(ADA)
    time.sleep(refreshed_name_sets.FRESH_S)
    statements.clear()
    assert another_process.of([ADA, BEN]) == {ADA: BLOCKED}
    assert len(statements) == 1, "a table that was too long is not read again at each change"


def test_a_copy_is_read_in_pages(
    committed_world: World, another_process: RefreshedKeySets, monkeypatch: pytest.MonkeyPatch, statements: list[str]
) -> None:
    monkeypatch.setattr(refreshed_name_sets, "_PAGE", 1)
    put(ADA, BEN, CLEO)
    put(ADA, CLEO, into="excluded")
    another_process.begin_to_load()
    is_refreshed(another_process)
    statements.clear()
    assert another_process.of([ADA, BEN, CLEO]) == {
        ADA: frozenset({"blocked", "excluded"}),
        BEN: BLOCKED,
        CLEO: frozenset({"blocked", "excluded"}),
    }
    assert statements == [], "these are the names in the copy"


def test_no_payment_waits_while_a_copy_is_read_and_each_sees_every_change(
    committed_world: World, another_process: RefreshedKeySets, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, is_over = another_process._rows, threading.Event()

    def slow(page: str) -> Iterator[tuple[int, str]]:
        assert is_over.wait(10)
        yield from read(page)

    monkeypatch.setattr(another_process, "_rows", slow)
    put(ADA)
    began = time.monotonic()
    for parties in ([ADA], [BEN], [ADA, CLEO]):
        put(*parties)
        assert another_process.of([ADA, BEN, CLEO]) == dict.fromkeys(parties, BLOCKED)
    switched = switch("DFSP", payer_dfsp="red")
    assert another_process.of([switched.key]) == {switched.key: frozenset({matches.KILL_SWITCH})}
    assert time.monotonic() - began < 5
    is_over.set()
    is_refreshed(another_process)
    assert another_process._copy.sets is not None
    assert another_process.of([ADA, BEN, CLEO]) == {ADA: BLOCKED, CLEO: BLOCKED}


@pytest.mark.parametrize("is_cancelled", [True, False])
def test_changes_that_cannot_be_read_by_one_statement_are_seen(
    committed_world: World, another_process: RefreshedKeySets, statements: list[str], is_cancelled: bool
) -> None:
    """A statement that takes too long is ended: the whole table is then read in pages. After any other error, each call
    reads the table."""
    put(ADA)
    another_process.begin_to_load()
    is_refreshed(another_process)
    fault = "pg_cancel_backend(pg_backend_pid()), pg_sleep(5)" if is_cancelled else "cast('x' AS int)"
    another_process._changed = f"SELECT 1, 2 FROM {fault} WHERE %s::bigint > 0"
    put(BEN)
    time.sleep(refreshed_name_sets.FRESH_S)
    for _ in range(2):
        assert another_process.of([ADA, BEN]) == {BEN: BLOCKED}
        is_refreshed(another_process)
        statements.clear()
    assert another_process.of([ADA, BEN]) == {BEN: BLOCKED}
    assert len(statements) == (0 if is_cancelled else 1)


def test_a_fault_of_the_thread_leaves_the_table_to_each_call(
    committed_world: World, another_process: RefreshedKeySets, monkeypatch: pytest.MonkeyPatch, statements: list[str]
) -> None:
    def fail() -> None:
        raise RuntimeError("a fault")

    unhandled: list[object] = []
    monkeypatch.setattr(threading, "excepthook", unhandled.append)
    monkeypatch.setattr(another_process, "_load", fail)
    put(ADA)
    another_process.begin_to_load()
    is_refreshed(another_process)
    for _ in range(2):
        statements.clear()
        assert another_process.of([ADA, BEN]) == {ADA: BLOCKED}
    assert (len(statements), unhandled) == (1, []), "no thread begins again for a while"


def test_without_any_list_a_process_starts_no_thread(
    world: World, another_process: RefreshedKeySets, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(another_process, "_refresh_in_a_thread", pytest.fail)
    assert another_process.of([ADA]) == {}


# --- kill switches ----------------------------------------------------------------------------------------------------

PAYMENTS = [
    Payment("green", "blue", ADA, BEN),
    Payment("blue", "green", BEN, ADA),
    Payment("green", "red"),
    Payment("red", "blue", CLEO, None),
]


def switch(kind: str, *, on: bool = True, **more: Any) -> KillSwitch:
    switched: KillSwitch = decide("kill_switch", {"kind": kind, "on": on, "reason": "fraud", **more})
    return switched


def test_kill_switches_stop_an_alias_a_dfsp_or_a_corridor(world: World) -> None:
    assert kill_switches.stopped(PAYMENTS) == [None] * 4
    switch("ALIAS", party=ADA)
    assert kill_switches.stopped(PAYMENTS) == [Stopped.PAYER, Stopped.PAYEE, None, None]
    switch("ALIAS", party=ADA, on=False)
    switch("CORRIDOR", payer_dfsp="green", payee_dfsp="blue")
    assert kill_switches.stopped(PAYMENTS) == [Stopped.CORRIDOR, None, None, None]
    switch("DFSP", payer_dfsp="red")
    assert kill_switches.stopped(PAYMENTS) == [Stopped.CORRIDOR, None, Stopped.DFSP, Stopped.DFSP]
    assert [str(each) for each in kill_switches.are_on()] == ["DFSP red", "CORRIDOR green blue"]
    switch("CORRIDOR", payer_dfsp="green", payee_dfsp="blue", on=False)
    switch("DFSP", payer_dfsp="red", on=False)
    assert kill_switches.stopped(PAYMENTS) == [None] * 4
    assert matches.matches([ADA, dfsp_corridor_and_name_keys.of_dfsp("red")]) == {}
    with pytest.raises(NotChanged, match="not on"):
        switch("DFSP", payer_dfsp="red", on=False)


@pytest.mark.parametrize(
    "values",
    [
        {"kind": "ALIAS"},
        {"kind": "ALIAS", "party": ADA, "payer_dfsp": "green"},
        {"kind": "DFSP"},
        {"kind": "DFSP", "payer_dfsp": "green", "payee_dfsp": "blue"},
        {"kind": "CORRIDOR", "payer_dfsp": "green"},
    ],
)
def test_a_kill_switch_names_what_it_stops(world: World, values: dict[str, Any]) -> None:
    with pytest.raises(NotChanged):
        kill_switches.key_of(**values)


def test_nobody_switches_alone(committed_world: World) -> None:
    with pytest.raises(IntegrityError, match="was not approved"), transaction.atomic():
        kill_switches.switch_on("DFSP", payer_dfsp="green", reason="alone", actor="mary")
    assert not KillSwitch.objects.exists()
    switched = switch("DFSP", payer_dfsp="green")
    with pytest.raises(IntegrityError, match="was not approved"), transaction.atomic():
        kill_switches.switch_off(switched.key, actor="mary")
    assert kill_switches.stopped(PAYMENTS)[0] == Stopped.DFSP
    with pytest.raises(NotChanged, match="already on"):
        switch("DFSP", payer_dfsp="green")


def test_two_approvals_of_one_kill_switch_at_once_switch_it_once(committed_world: World) -> None:
    named = {"kind": "DFSP", "payer_dfsp": "green", "on": True, "reason": "stolen keys"}
    asked = [ask("kill_switch", named) for _ in range(2)]
    person("chris")
    results = together([partial(approve, each) for each in asked])
    assert sorted(type(each).__name__ for each in results) == ["KillSwitch", "NotChanged"], results
    assert KillSwitch.objects.count() == 1
