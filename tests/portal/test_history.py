"""The history of payments: each is counted once, whoever commits late, and everybody sees only their own."""

import csv
import io
import json
import re
import threading
import zipfile
from collections import Counter
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from directory import party_lookups
from directory.models import PartyLookup
from hub import agreement_engine
from hub.audit.models import Entry
from ledger.models import HeldTransfer, Transfer
from portal import history, spreadsheets
from portal.history import folding, recomputing
from portal.models import HistoryMark, HistoryOpen, HistoryRow, Profile
from portal.permissions import Role
from portal.queries import history as queries
from portal.queries.history import Wish
from quotes.commands_and_facts import State
from quotes.models import Quote
from tests.agreements import answer_party, ask_party, ask_terms, give_terms
from tests.portal.people import browser, browser_of, person
from tests.portal.test_pages import pay, text_of
from tests.settlement.operator_steps import pay as committed
from tests.world import World, fulfil, prepare, reject, run

UTC_ZONE = ZoneInfo("UTC")


@pytest.fixture(autouse=True)
def nothing_is_too_young(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a minute later: rows count at once, unless a transaction that still writes began before them."""
    monkeypatch.setattr(folding, "HORIZON_S", 0)


def wish(grain: str = "day", **narrowed: object) -> Wish:
    starts = queries.starts(grain, until=datetime.now(UTC), zone=UTC_ZONE)
    return Wish(grain, starts, **narrowed)  # type: ignore[arg-type]


def seen(grain: str = "day", **narrowed: object) -> queries.Figures:
    return queries.total(queries.series(wish(grain, **narrowed)))


def refuse(world: World, payer: str = "green", payee: str = "blue", code: str = "5104") -> None:
    command = prepare(world, payer, payee, 5)
    run(command)
    run(reject(world, payee, command.transfer_id, code=code))


def test_what_ended_is_counted_once_in_every_period_and_scope_and_agrees_with_the_ledger(world: World) -> None:
    pay(world, text="10")
    pay(world, "blue", "green", "2.5")
    refuse(world)
    waiting = prepare(world, "green", "red", 100)
    run(waiting)
    run(prepare(world, "green", "blue", 100_000))  # above the cover
    for _again in range(2):
        history.fold()
        for grain in queries.PERIODS:
            found = seen(grain)
            assert (found.ended, found.succeeded, found.values) == (4, 2, {"TZS": 125_000}), grain
            assert found.reasons == {"5104": 1, "4001": 1}
        assert [row.row_id for row in HistoryOpen.objects.all()] == [waiting.transfer_id]
        assert recomputing.compare()[1] == []
    run(fulfil(world, "red", waiting.transfer_id))
    history.fold()
    history.fold()
    assert not HistoryOpen.objects.exists()
    assert seen(payer_id=world.ids["green"]).values == {"TZS": 1_100_000}
    assert seen(payee_id=world.ids["green"]).values == {"TZS": 25_000}
    assert seen(payer_id=world.ids["green"], payee_id=world.ids["red"]).ended == 1
    assert recomputing.compare()[1] == []
    before = list(HistoryRow.objects.order_by("source", "grain", "scope", "at", "payer_id", "payee_id").values())
    call_command("rebuild_history")
    after = list(HistoryRow.objects.order_by("source", "grain", "scope", "at", "payer_id", "payee_id").values())
    assert [row | {"id": 0} for row in before] == [row | {"id": 0} for row in after]


def test_the_check_finds_a_row_that_differs(world: World) -> None:
    pay(world)
    history.fold()
    HistoryRow.objects.filter(grain="hour", scope=0).update(value=1)
    (found,) = recomputing.compare()[1]
    assert (found.source, found.stored, found.recomputed) == ("transfer", 1, 1)
    with pytest.raises(SystemExit):
        call_command("rebuild_history", "--check")
    call_command("rebuild_history")
    assert recomputing.compare()[1] == []


_LATE = """
    INSERT INTO ledger_transfer
    SELECT (jsonb_populate_record(t, jsonb_build_object('transfer_id', 'late', 'received_at', clock_timestamp()))).*
    FROM ledger_transfer t WHERE state = 'ABORTED' LIMIT 1
"""


def test_a_row_that_commits_after_later_rows_were_counted_is_not_lost(committed_world: World) -> None:
    run(prepare(committed_world, "green", "blue", 100_000))
    has_written, may_commit = threading.Event(), threading.Event()

    def commit_late() -> None:
        with connection.cursor() as cursor:
            cursor.execute("BEGIN")
            cursor.execute(_LATE)
            has_written.set()
            may_commit.wait(20)
            cursor.execute("COMMIT")
        connection.close()

    late = threading.Thread(target=commit_late)
    late.start()
    assert has_written.wait(20)
    run(prepare(committed_world, "green", "blue", 100_001))
    history.fold()
    assert seen().ended == 1  # the one before the transaction that still writes
    may_commit.set()
    late.join()
    history.fold()
    assert seen().ended == 3 == Transfer.objects.count()
    assert recomputing.compare()[1] == []


def test_two_runs_at_once_count_nothing_twice(committed_world: World) -> None:
    for _number in range(5):
        pay(committed_world, text="1")
    together = [threading.Thread(target=lambda: (history.fold(), connection.close())) for _ in range(4)]
    for thread in together:
        thread.start()
    for thread in together:
        thread.join()
    history.fold()
    assert seen().ended == 5


def test_the_number_of_statements_does_not_depend_on_the_number_of_payments(world: World) -> None:
    counted = []
    for size in (1, 12):
        for _number in range(size):
            pay(world, text="1")
        with CaptureQueriesContext(connection) as found:
            history.fold()
        counted.append(len(found))
    assert counted[0] == counted[1]


def test_quotes_and_lookups_are_legs_with_their_durations(world: World) -> None:
    answered, refused, silent = (ask_terms(world.ids) for _ in range(3))
    agreement_engine.run([answered, refused, silent])
    agreement_engine.run([give_terms(world.ids, answered.agreement_id)])
    agreement_engine.run([give_terms(world.ids, refused.agreement_id, state=State.REJECTED)])
    Quote.objects.filter(pk=answered.agreement_id).update(
        request=b'{"transactionType": {"scenario": "PAYMENT"}}', transfer_currency="TZS"
    )
    agreement_engine.run([ask_party(world.ids, to="blue")])
    agreement_engine.run([answer_party(world.ids, "blue", to="green")])
    assert PartyLookup.objects.update(ended_at=datetime.now(UTC) - timedelta(hours=1)) == 1
    PartyLookup.objects.update(asked_at=datetime.now(UTC) - timedelta(hours=1, seconds=2))
    party_lookups.forget_ended()
    history.fold()
    history.fold()
    assert seen().buckets["quote"].total() == 1
    assert seen(use_case="PAYMENT").buckets["quote"].total() == 1
    assert seen(use_case="REFUND").buckets.get("quote", Counter()).total() == 0
    assert seen(payer_id=world.ids["green"]).percentile("lookup", 0.5) == pytest.approx(2, rel=0.091)
    assert seen(payer_id=world.ids["blue"]).percentile("lookup", 0.5) is None
    (row,) = HistoryRow.objects.filter(source="quote", scope=0, grain="day", currency="")
    assert row.reasons == {"REJECTED": 1}
    agreement_engine.run([give_terms(world.ids, answered.agreement_id, "green", state=State.REJECTED)])
    assert recomputing.compare()[1] == []  # a payer that refuses the terms changes no count


@pytest.mark.django_db
@pytest.mark.parametrize("milliseconds", [1, 7.5, 120, 999, 12_345, 300_000])
def test_a_percentile_is_wrong_by_at_most_what_is_documented(milliseconds: float) -> None:
    with connection.cursor() as cursor:
        duration = history.statements._DURATION.format(f"interval '{milliseconds} ms'")
        cursor.execute(f"SELECT {duration}")
        bucket = cursor.fetchone()[0]
    assert queries.percentile({bucket: 1}, 0.99) == pytest.approx(milliseconds / 1000, rel=0.091)


def test_periods_follow_the_calendar_of_the_time_zone() -> None:
    zone = ZoneInfo("Europe/Berlin")
    until = datetime(2026, 11, 1, 12, tzinfo=UTC)
    for grain, count in queries.PERIODS.items():
        found = queries.starts(grain, until=until, zone=zone)
        assert len(found) == count + 1
        assert found == sorted(set(found))
        assert found[-2] <= until < found[-1]
    days = queries.starts("day", until=until, zone=zone)
    assert {each.astimezone(zone).hour for each in days} == {0}
    assert {each.astimezone(zone).day for each in queries.starts("month", until=until, zone=zone)} == {1}


def test_the_page_draws_divides_and_leads_to_the_payments(world: World) -> None:
    pay(world, text="10")
    pay(world, "red", "green", "7")
    refuse(world)
    history.fold()
    client = browser(Role.VIEWER)
    for by in ("payer", "payee", "pair", "currency", "use_case", "reason"):
        for grain in queries.PERIODS:
            text = text_of(client, f"/portal/history/?grain={grain}&by={by}")
            assert "<rect" in text
    today = timezone.localtime(timezone=queries.time_zone()).date()
    month_ends = (today.replace(day=1) + timedelta(days=31)).replace(day=1) - timedelta(days=1)
    assert f"?payer=green&amp;grain=hour&amp;until={today}" in text_of(client, "/portal/history/?payer=green")
    assert f"?grain=day&amp;until={month_ends}" in text_of(client, "/portal/history/?grain=month")
    text = text_of(client, "/portal/history/?by=reason")
    assert "5104" in text
    assert "error=5104" in text
    assert text_of(client, "/portal/history/?payer=green&payee=blue&use_case=TRANSFER&currency=TZS&until=2026-01-01")
    page = client.get("/portal/history/?by=pair")
    assert [name for name, _url, _line in page.context["lines"]] == ["green → blue", "red → green"]
    assert client.get(page.context["payments"]).status_code == 200


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("payer=nosuch", "payer"),
        ("payee=nosuch", "payee"),
        ("until=2026-13-45", "until"),
        ("currency=ZZZ", "currency"),
        ("use_case=GIFT", "use_case"),
        ("grain=year", "grain"),
    ],
)
def test_a_filter_that_cannot_be_read_is_an_error_and_gives_no_figure(world: World, query: str, field: str) -> None:
    pay(world, text="10")
    history.fold()
    client = browser(Role.VIEWER)
    answer = client.get(f"/portal/history/?{query}")
    assert answer.status_code == 200
    assert answer.context["search"].errors[field]
    assert "whole" not in answer.context
    assert "<table" not in answer.content.decode()
    for file in ("csv", "xlsx"):
        refused = client.get(f"/portal/history.{file}?{query}")
        assert (refused.status_code, refused["Location"]) == (302, f"/portal/history/?{query}")
    assert not Entry.objects.filter(action="history_exported").exists()


def test_the_schemes_currencies_come_first_and_small_letters_are_read(world: World) -> None:
    pay(world, text="10")
    history.fold()
    answer = browser(Role.VIEWER).get("/portal/history/?currency=tzs")
    assert answer.context["whole"].ended == 1
    assert answer.context["search"].fields["currency"].choices[1] == ("TZS", "TZS – Tanzanian Shilling")


# --- from a figure to its payments ------------------------------------------------------------------------------------
_MOVED = """
    UPDATE ledger_transfer SET received_at = received_at - %(ago)s, completed_at = completed_at - %(ago)s,
                               expires_at = expires_at - %(ago)s
    WHERE transfer_id = %(transfer)s
"""


def moved(transfer_id: str, **ago: int) -> str:
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute(_MOVED, {"ago": timedelta(**ago), "transfer": transfer_id})
        cursor.execute("SET LOCAL session_replication_role = origin")
    return transfer_id


def refused_with_use_case(world: World, scenario: str, condition: str, **ago: int) -> None:
    command = prepare(world, "green", "blue", 5, condition=condition)
    run(command)
    run(reject(world, "blue", command.transfer_id, code="5104"))
    quote = ask_terms(world.ids)
    agreement_engine.run([quote])
    agreement_engine.run([give_terms(world.ids, quote.agreement_id)])
    text = json.dumps({"transactionType": {"scenario": scenario}}).encode()
    Quote.objects.filter(pk=quote.agreement_id).update(request=text, condition=condition)
    moved(command.transfer_id, **ago)


@pytest.fixture
def varied(world: World) -> World:
    """Payments in several hours and days, in both directions, of several use cases; some refused, one held for ever,
    and one that has not ended."""
    for hours in (0, 1, 1, 2, 26, 50, 200, 900):
        moved(committed(world, "green", "blue", 1), hours=hours)
    moved(committed(world, "blue", "green", 1), hours=1)
    moved(committed(world, "red", "green", 1), hours=3)
    refused_with_use_case(world, "PAYMENT", "B" * 43, hours=1)
    refused_with_use_case(world, "PAYMENT", "C" * 43, hours=30)
    refused_with_use_case(world, "REFUND", "D" * 43, hours=2)
    held = prepare(world, "green", "blue", 100_000)
    run(held)
    HeldTransfer.objects.create(
        transfer_id=held.transfer_id, state="REFUSED", until=datetime.now(UTC), rules_version=1,
        ended_at=datetime.now(UTC), actor="x", refusal_code="5100",
    )  # fmt: skip
    moved(held.transfer_id, hours=1)
    run(prepare(world, "green", "red", 1))
    history.fold()
    return world


def rows_of(client: Client, url: str) -> int:
    page = client.get(url)
    assert page.status_code == 200
    assert not page.context["search"].errors, page.context["search"].errors
    assert not page.context["page"].next_query
    return len(page.context["page"].rows)


WISHES = {
    "hour": ("payer=green&payee=blue", "use_case=PAYMENT"),
    "day": ("", "payee=blue", "use_case=?", "currency=TZS&use_case=REFUND&payer=green"),
    "week": ("payee=green",),
    "month": ("payer=green",),
}


@pytest.mark.parametrize("zone", [pytest.param("UTC", marks=pytest.mark.thorough), "Asia/Kathmandu"])
def test_each_link_opens_exactly_the_payments_of_its_figure(varied: World, zone: str) -> None:
    user = person(Role.VIEWER)
    Profile.objects.filter(user=user).update(time_zone=zone)
    client, followed = browser_of(user), 0
    for grain, wishes in WISHES.items():
        for chosen in wishes:
            context = client.get(f"/portal/history/?grain={grain}&by=reason&{chosen}").context
            whole = context["whole"]
            figures = [(context["payments"], whole.ended), (context["failed"], whole.failed)]
            for _name, period, url, failed_url, _parts in context["periods"]:
                if period.ended:
                    figures += [(url, period.ended), (failed_url, period.failed)]
            figures += [(url, line.ended) for _name, url, line in context["lines"]]
            assert all(re.match("[0-9]+–", chart.top) for chart in context["charts"])  # the range, not a value
            counted = [(bar.url, int(re.search(r": (\d+) ", bar.title)[1])) for bar in context["charts"][0].bars]  # type: ignore[index]
            for url, count in set(figures + counted):
                assert rows_of(client, url) == count, (grain, chosen, url)
                followed += 1
    assert followed > 60


def test_the_payments_that_no_payee_received_have_a_link(varied: World) -> None:
    client = browser(Role.VIEWER)
    for by in ("payee", "pair"):
        context = client.get(f"/portal/history/?grain=month&by={by}").context
        ((url, line),) = [(url, line) for name, url, line in context["lines"] if "not sent to a payee" in name]
        assert rows_of(client, url) == line.ended == 1


def test_a_participants_links_open_only_its_own_direction(varied: World) -> None:
    for name in ("green", "blue", "red"):
        client = browser(Role.PARTICIPANT_VIEWER, participant=name, name=f"of-{name}")
        for chosen in ("", "side=received", "other=green", "side=received&other=green"):
            answer = client.get(f"/portal/history/?grain=month&{chosen}")
            if answer.context["search"].errors:
                assert name == "green"  # it does not pay itself
                continue
            assert rows_of(client, answer.context["payments"]) == answer.context["whole"].ended, (name, chosen)


def test_the_reasons_of_failure_are_in_the_language_of_the_reader(world: World) -> None:
    refuse(world)
    history.fold()
    for code in ("fr", "sw"):
        user = person(Role.VIEWER, name=f"reads-{code}")
        Profile.objects.filter(user=user).update(language=code)
        page = browser_of(user).get("/portal/history/?by=reason").content.decode()
        assert "5104" in page
        assert "Payee rejected transaction" not in page, code


def test_the_files_have_the_figures_of_the_page(world: World) -> None:
    pay(world, text="10")
    refuse(world)
    history.fold()
    client = browser(Role.VIEWER)
    read = b"".join(client.get("/portal/history.csv?grain=month").streaming_content).decode()
    row = list(csv.DictReader(io.StringIO(read)))[-1]
    assert (row["payments"], row["succeeded"], row["successPercent"]) == ("2", "1", "50.0")
    assert (row["currency"], row["value"]) == ("TZS", "10")
    lines = b"".join(client.get("/portal/history.csv?table=lines&by=payer").streaming_content).decode()
    assert lines.splitlines()[1].startswith("green,2,1,1,50.0,TZS,10,")
    file = b"".join(client.get("/portal/history.xlsx").streaming_content)
    with zipfile.ZipFile(io.BytesIO(file)) as book:
        assert b"<v>10</v>" in book.read("xl/worksheets/sheet1.xml")
        assert b"green" in book.read("xl/sharedStrings.xml")


def test_no_cell_of_a_workbook_is_a_formula_and_no_amount_is_rounded() -> None:
    rows = [["=1+1", "http://x", "12345678901234567.8901", "0.0001", 5, None]]
    with zipfile.ZipFile(io.BytesIO(spreadsheets.workbook([("t", ["=a"] * 6, rows)]))) as book:
        sheet = book.read("xl/worksheets/sheet1.xml").decode()
        texts = book.read("xl/sharedStrings.xml").decode()
    assert "<f>" not in sheet
    assert "12345678901234567.8901" in texts
    assert "<v>0.0001</v>" in sheet


def test_the_people_of_a_participant_see_only_its_own_payments(world: World) -> None:
    pay(world, "green", "blue", "3")
    pay(world, "blue", "red", "500")
    history.fold()
    client = browser(Role.PARTICIPANT_VIEWER, participant="green")
    for query in (
        "",
        "?side=received",
        "?payer=blue&payee=red",
        "?other=red",
        "?by=pair",
        "?by=payer",
        "?side=received&by=payer",
    ):
        answer = client.get(f"/portal/history/{query}")
        if query == "?other=red":  # a DFSP that has not paid green is no choice
            assert answer.context["search"].errors["other"]
            continue
        assert answer.context["whole"].values.get("TZS", 0) in (0, 30_000)
        assert "500" not in answer.content.decode().replace("-500", "")
        assert "red" not in [name for name, _ in answer.context["search"].fields["other"].choices]


def test_a_transfer_that_was_never_released_is_not_in_its_payees_history(world: World) -> None:
    run(prepare(world, "green", "blue", 100_000))
    refused = Transfer.objects.get()
    HeldTransfer.objects.create(
        transfer=refused, state="REFUSED", until=datetime.now(UTC), rules_version=1, ended_at=datetime.now(UTC),
        actor="x", refusal_code="5100",
    )  # fmt: skip
    history.fold()
    assert seen(payee_id=world.ids["blue"]).ended == 0
    assert seen(payee_id=history.NOBODY).ended == seen(payer_id=world.ids["green"]).ended == 1
    client = browser(Role.PARTICIPANT_VIEWER, participant="blue")
    assert client.get("/portal/history/?side=received").context["whole"].ended == 0
    assert "not sent to a payee" in text_of(browser(Role.VIEWER), "/portal/history/?by=payee")


def test_a_page_reads_rows_of_sums_and_nothing_else(world: World) -> None:
    pay(world)
    history.fold()
    client = browser(Role.VIEWER)
    with CaptureQueriesContext(connection) as found:
        client.get("/portal/history/?by=pair")
    sql = [query["sql"] for query in found.captured_queries]
    of_payments = [text for text in sql if "ledger_" in text or "quotes_" in text]
    assert [text for text in of_payments if "ledger_account" not in text] == []  # the currencies are those of accounts
    assert HistoryMark.objects.get(pk="transfer").time_zone == "UTC"
