"""Names are screened when a party is first seen and when a list changes. Two people clear a match."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction

from fspiop import bodies
from fspiop.bodies.common import Party
from rules.alerts import tasks as alert_tasks
from rules.alerts.models import Alert
from rules.lists import (
    dfsp_corridor_and_name_keys,
    loaded_names,
    matches,
    name_index,
    name_match_clearing,
    screening,
    tasks,
)
from rules.lists.models import NamedParty, NameMatch, SeenName
from rules.lists.name_index import NameIndex, Similar
from rules.lists.screening import Named
from rules.party_keys import key_of
from tests.rules.test_lists import put
from tests.rules.two_people import decide
from tests.sweeps.poison import pause_is_over, poisoned, skipped
from tests.world import World

ADA, BEN = key_of("MSISDN", "255712001001"), key_of("MSISDN", "255712001002")
AT_BLUE, AT_RED, BEN_AT_BLUE = (
    dfsp_corridor_and_name_keys.served(ADA, "blue"),
    dfsp_corridor_and_name_keys.served(ADA, "red"),
    dfsp_corridor_and_name_keys.served(BEN, "blue"),
)
LISTED = frozenset({"sanctions"})


def sanction(*names: str) -> None:
    for name in names:
        put(into="sanctions", name=name)
    loaded_names.latest()


def test_a_party_is_screened_when_it_is_first_seen(world: World) -> None:
    sanction("Joseph Kony")
    screening.see([Named(ADA, "blue", "Josef Kony"), Named(BEN, "blue", "Ben Mwangi")])
    assert matches.matches([AT_BLUE, BEN_AT_BLUE, ADA]) == {AT_BLUE: LISTED}
    match = NameMatch.objects.get()
    assert (match.key, match.score >= 88, match.entry.name) == (AT_BLUE, True, "Joseph Kony")
    assert name_match_clearing.open_matches().count() == 1


def test_the_name_of_a_party_in_a_message() -> None:
    message: dict[str, Any] = {"partyIdInfo": {"partyIdType": "MSISDN", "partyIdentifier": "+255712001001"}}
    parts = {"complexName": {"firstName": "Joseph", "lastName": "Rao Kony"}}

    def name_of(**more: Any) -> str | None:
        found = screening.named(bodies.convert(Party, message | more), "blue")
        assert found is None or (found.party, found.dfsp) == (ADA, "blue")
        return found.name if found is not None else None

    assert name_of() is None
    assert name_of(personalInfo={"dateOfBirth": "1961-01-01"}) is None
    assert name_of(name="Joe Kony") == "Joe Kony"
    assert name_of(personalInfo=parts) == "Joseph Rao Kony"
    assert name_of(name="Someone Else", personalInfo=parts) == "Someone Else Joseph Rao Kony"


def test_the_word_of_another_dfsp_counts_for_nobody_else(world: World) -> None:
    """A payer DFSP that gives its payee a name from the list does not stop the payee's payments elsewhere."""
    sanction("Joseph Kony")
    screening.see([Named(ADA, "red", "Joseph Kony"), Named(ADA, "blue", "Ada Mushi")])
    assert matches.matches([AT_BLUE, AT_RED]) == {AT_RED: LISTED}


def test_no_name_and_no_identifier_is_readable(world: World) -> None:
    sanction("Joseph Kony")
    screening.see([Named(ADA, "blue", "Joseph Kony")])
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT (SELECT json_agg(n) FROM rules_lists_seenname n)::text"
            " || (SELECT json_agg(p) FROM rules_lists_namedparty p)::text"
            " || (SELECT json_agg(m) FROM rules_lists_namematch m)::text"
        )
        stored = cursor.fetchone()[0]
    assert "KONY" not in stored.upper()
    assert "255712001001" not in stored


def test_what_was_seen_costs_no_statement(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    people = [Named(key_of("MSISDN", str(number)), "blue", f"Person {number}") for number in range(50)]
    ran: list[str] = []
    execute = screening.execute

    def run(statement: str, parameters: object = ()) -> object:
        ran.append(statement)
        return execute(statement, parameters)  # type: ignore[arg-type]

    monkeypatch.setattr(screening, "execute", run)
    screening.see(people[:1])
    of_one, ran[:] = len(ran), []
    screening.see(people)
    assert len(ran) == of_one
    ran.clear()
    screening.see(people)
    assert ran == []


def test_a_list_that_changes_is_compared_with_everybody_seen(world: World) -> None:
    screening.see([Named(ADA, "blue", "Joseph Kony"), Named(BEN, "blue", "Ben Mwangi")])
    assert tasks.screen_names() == 0, "no name is listed"
    sanction("Joseph Kony")
    assert matches.matches([AT_BLUE]) == {}
    assert tasks.screen_names() == 2
    assert matches.matches([AT_BLUE, BEN_AT_BLUE]) == {AT_BLUE: LISTED}
    assert tasks.screen_names() == 0
    sanction("Somebody Else")  # the file no longer has the name
    assert matches.matches([AT_BLUE]) == {}


def test_a_verdict_is_used_again_for_another_party_of_the_same_name(world: World) -> None:
    sanction("Joseph Kony")
    screening.see([Named(ADA, "blue", "Joseph Kony")])
    screening.see([Named(BEN, "blue", "KONY Joseph")])
    assert matches.matches([AT_BLUE, BEN_AT_BLUE]) == {AT_BLUE: LISTED, BEN_AT_BLUE: LISTED}
    assert SeenName.objects.count() == 1


def test_names_beyond_the_time_of_a_group_are_left_to_the_tick(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    sanction("Joseph Kony")
    monkeypatch.setattr(screening, "_FOR_S", -1.0)
    screening.see([Named(ADA, "blue", "Joseph Kony")])
    assert matches.matches([AT_BLUE]) == {}
    assert tasks.screen_names() == 1
    assert matches.matches([AT_BLUE]) == {AT_BLUE: LISTED}


def test_a_name_that_sounds_like_very_many_listed_names_is_left_to_the_tick(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A match with the same spelling is found at once."""
    sanction("Joseph Kony")
    monkeypatch.setattr(name_index, "_MOST_AT_ONCE", 0)
    screening.see([Named(ADA, "blue", "Josef Kony"), Named(BEN, "blue", "KONY Joseph")])
    assert matches.matches([AT_BLUE, BEN_AT_BLUE]) == {BEN_AT_BLUE: LISTED}
    assert tasks.screen_names() == 2
    assert matches.matches([AT_BLUE, BEN_AT_BLUE]) == {AT_BLUE: LISTED, BEN_AT_BLUE: LISTED}
    assert NameMatch.objects.count() == 2


def test_a_match_raises_an_alert_about_the_party(world: World) -> None:
    sanction("Joseph Kony")
    screening.see([Named(ADA, "blue", "Joseph Kony")])
    alert_tasks.merge()
    alert = Alert.objects.get()
    sighting = alert.sightings.get()
    assert (alert.key, sighting.kind, sighting.payee_dfsp) == (ADA, "NAME_MATCH", "blue")
    assert sighting.details["list"] == "sanctions"


def test_two_people_clear_a_match_and_it_stays_cleared(committed_world: World) -> None:
    sanction("Joseph Kony")
    screening.see([Named(ADA, "blue", "Joseph Kony")])
    match = NameMatch.objects.get()
    with pytest.raises(IntegrityError, match="was not approved"), transaction.atomic():
        name_match_clearing.clear(match.pk, actor="mary")
    decide("clear_name_match", {"match": match.pk})
    matches.forget()
    assert matches.matches([AT_BLUE]) == {}
    SeenName.objects.update(screened_for=0)
    assert tasks.screen_names() == 1
    matches.forget()
    assert matches.matches([AT_BLUE]) == {}


def test_a_cleared_match_hides_no_match_of_another_name(committed_world: World) -> None:
    """Blue gives the number of a customer who is not the listed person to the listed person."""
    sanction("John Smith")
    screening.see([Named(ADA, "blue", "Jon Smith")])
    decide("clear_name_match", {"match": NameMatch.objects.get().pk})
    matches.forget()
    assert matches.matches([AT_BLUE]) == {}
    screening.see([Named(ADA, "blue", "John Smith")])
    matches.forget()
    assert matches.matches([AT_BLUE]) == {AT_BLUE: LISTED}
    first, second = NameMatch.objects.order_by("id")
    assert (first.score < 100, first.cleared_at is None) == (True, False)
    assert (second.score, second.cleared_at) == (100, None)
    alert_tasks.merge()
    assert Alert.objects.get().count == 2
    SeenName.objects.update(screened_for=0)
    assert tasks.screen_names() == 2
    assert NameMatch.objects.count() == 2, "the cleared name stays cleared"


def test_the_screening_of_all_names_takes_only_a_part_of_the_time(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If a worker has only one free process, the process also expires transfers and releases held transfers."""
    screening.see([Named(key_of("MSISDN", str(number)), "blue", f"Person {number}") for number in range(20)])
    sanction("Person 1")
    find = NameIndex.find

    def slow(index: NameIndex, folded: str) -> list[Similar]:
        time.sleep(0.02)
        return find(index, folded)

    monkeypatch.setattr(NameIndex, "find", slow)
    monkeypatch.setattr(tasks, "_FOR_S", 0.1)
    runs = []
    while not runs or runs[-1]:
        runs.append(tasks.screen_names())
    assert (sum(runs), max(runs) <= 6) == (20, True), runs
    assert NameMatch.objects.exists()
    SeenName.objects.update(screened_for=0)
    monkeypatch.setattr(tasks, "_FOR_S", 0.0)
    assert tasks.screen_names() == 1, "each tick screens at least one name"


def test_a_message_with_a_known_name_does_not_wait_for_the_screening_of_this_name(
    committed_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    screening.see([Named(ADA, "blue", "Joseph Kony")])
    sanction("Joseph Kony")
    find, begun, is_over = NameIndex.find, threading.Event(), threading.Event()

    def slow(index: NameIndex, folded: str) -> list[Similar]:
        begun.set()
        assert is_over.wait(10)
        return find(index, folded)

    monkeypatch.setattr(NameIndex, "find", slow)

    def screen() -> int:
        try:
            return tasks.screen_names()
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool:
        screening_again = pool.submit(screen)
        assert begun.wait(10)
        screening.see([Named(BEN, "blue", "Joseph Kony")])
        assert NamedParty.objects.count() == 2
        is_over.set()
        assert screening_again.result(10) == 1
    assert set(NameMatch.objects.values_list("key", flat=True)) == {AT_BLUE, BEN_AT_BLUE}


def test_while_the_index_of_a_changed_list_is_built_the_tick_does_not_wait(committed_world: World) -> None:
    screening.see([Named(ADA, "blue", "Joseph Kony")])
    put(into="sanctions", name="Joseph Kony")
    assert tasks.screen_names() == 0
    until = time.monotonic() + 10
    while tasks.screen_names() == 0:
        assert time.monotonic() < until
        time.sleep(0.02)
    assert matches.matches([AT_BLUE]) == {AT_BLUE: LISTED}


def test_a_name_that_cannot_be_screened(committed_world: World) -> None:
    people = [Named(key_of("MSISDN", str(number)), "blue", f"Person {number}") for number in range(3)]
    screening.see(people)
    sanction("Person 1")
    bad = SeenName.objects.order_by("screened_for", "hash").values_list("pk", flat=True)[0]
    with poisoned("rules_lists_seenname", "hash", bad):
        assert tasks.screen_names() == 2
        assert [row for _batch, row, _why in skipped()] == [str(bad)]
    pause_is_over()
    assert tasks.screen_names() == 1
    assert skipped() == []
    assert NameMatch.objects.count() == 1


def test_names_that_were_not_seen_for_long_are_forgotten(world: World) -> None:
    sanction("Joseph Kony")
    screening.see([Named(ADA, "blue", "Joseph Kony"), Named(BEN, "blue", "Ben Mwangi")])
    assert screening.forget_unseen(days=1, most=10) == 0
    with connection.cursor() as cursor:
        cursor.execute("UPDATE rules_lists_namedparty SET seen_at = seen_at - interval '2 days'")
    assert screening.forget_unseen(days=1, most=10) == 2
    assert (NamedParty.objects.count(), SeenName.objects.count()) == (0, 1), "a match keeps its name"
    assert matches.matches([AT_BLUE]) == {AT_BLUE: LISTED}
