"""Searching: by whatever is known of a payment, along an index, and no further than a page may cost."""

import json
import re
import uuid
from typing import Any

import pytest
from django.core.cache import caches
from django.db import connection
from django.db.models import Q
from django.test.utils import CaptureQueriesContext

from hub.audit.models import Entry
from ledger.models import Entry as LedgerEntry
from ledger.models import SettlementWindow, Transfer
from portal import users
from portal.permissions import HUB_ROLES, Role
from portal.queries import keyset, overview, payments_per_minute, transfers
from settlement import services, window_nets
from settlement.window_nets import NetPosition
from tests import fx_world
from tests.api import fx_messages, iso_messages, messages
from tests.api.caller import dfsp
from tests.portal.people import browser, browser_of, person
from tests.settlement.operator_steps import pay
from tests.world import World, prepare, run


@pytest.fixture(autouse=True)
def _forget_figures() -> None:
    caches["process"].clear()


def found_by(client: Any, query: str) -> list[str]:
    return [row.pk for row in client.get(f"/portal/transfers/?{query}").context["page"].rows]


def refuse(world: World, count: int) -> list[str]:
    """Transfers beyond the cap, which are stored as refused."""
    commands = [prepare(world, "green", "red", 2000) for _ in range(count)]
    for command in commands:
        run(command)
    return [command.transfer_id for command in commands]


def quoted(world: World, **changes: Any) -> dict[str, Any]:
    """A quote that was asked for through the API."""
    body = messages.quote(**changes)
    assert dfsp("POST", "/quotes", body, destination="blue").status_code == 202
    return body


# --- cost -----------------------------------------------------------------------------------------------------------
PLANNED = [
    "transfers/",
    "transfers/?id=00000000-0000-4000-8000-000000000001",
    "transfers/?alias=255655001001",
    "transfers/?dfsp=green",
    "transfers/?payer=green",
    "transfers/?payer=green&payee=blue&shown=yes&state=ENDED&since=2026-01-01T10:00",
    "transfers/?payee=blue&shown=no",
    "transfers/?use_case=PAYMENT",
    "transfers/?id=00000000-0000-4000-8000-000000000001&alias=255655001001",
    "transfers/?state=RESERVED",
    "transfers/?state=ABORTED",
    "transfers/?error=4200",
    "transfers/?least=5&currency=TZS",
    "transfers/?window=1",
    "transfers/{paid}/",
    "conversions/",
    "conversions/{converted}/",
    "conversions/?dfsp=green",
    "conversions/terms/",
]


LONG = (
    "ledger_transfer",
    "ledger_transferevent",
    "ledger_fxtransfer",
    "ledger_fxtransferevent",
    "ledger_entry",
    "quotes_quote",
    "quotes_bulkquote",
    "quotes_bulkquoteitem",
    "quotes_fxquote",
    "outbox_message",
    "outbox_delivery",
)


@pytest.mark.parametrize("path", PLANNED)
@pytest.mark.parametrize("role", [Role.VIEWER, Role.PARTICIPANT_VIEWER])
def test_no_page_reads_a_table_of_payments_from_end_to_end(world: World, path: str, role: Role) -> None:
    """Where sequential scans are dear, as on a full table, every statement finds an index instead."""
    fx_world.open_scheme(world)
    path = path.format(paid=pay(world, "green", "blue", 1), converted=fx_world.agreed(world).commit_request_id)
    client = browser(role)
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        with CaptureQueriesContext(connection) as captured:
            assert client.get(f"/portal/{path}").status_code == 200
        statements = [query["sql"] for query in captured if query["sql"].startswith("SELECT")]
        assert any(table in sql for sql in statements for table in LONG)
        for sql in statements:
            cursor.execute(f"EXPLAIN {sql}")
            plan = "\n".join(row[0] for row in cursor.fetchall())
            for table in LONG:
                assert f"Seq Scan on {table} " not in plan, plan


def test_the_overview_reads_no_table_of_payments_from_end_to_end(world: World) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        for sql, values in (
            (overview._SPEED, ["30"]),
            (overview._RESERVED, []),
            (payments_per_minute._ROWS, ["'{1,2}'"]),
        ):
            cursor.execute("EXPLAIN " + sql % tuple(values) if values else "EXPLAIN " + sql)
            plan = "\n".join(row[0] for row in cursor.fetchall())
            assert "Seq Scan on ledger_transfer" not in plan, plan


@pytest.mark.parametrize(
    ("path", "queries"),
    [
        ("transfers/?dfsp=green", 3),  # who that is, what it sent, what it received
        ("transfers/?payer=green", 2),  # who that is, and what it sent
        ("transfers/?use_case=PAYMENT", 2),
        ("transfers/?error=4200", 2),  # how far to go, and what is there
        ("transfers/?least=5&dfsp=green", 5),
        ("transfers/?window=1", 3),
        ("conversions/", 1),
        ("conversions/terms/", 1),
    ],
)
def test_a_search_costs_the_same_whatever_there_is(
    world: World, path: str, queries: int, django_assert_num_queries: Any
) -> None:
    user = person(Role.ADMINISTRATOR)
    users.set_roles(user, roles=HUB_ROLES, actor="test")
    client = browser_of(user)
    client.get(f"/portal/{path}")
    for _round in range(2):
        with django_assert_num_queries(4 + queries):
            client.get(f"/portal/{path}")
        pay(world, "green", "blue", 5)
        refuse(world, 3)


def test_a_search_for_what_is_rare_stops_says_where_and_goes_on(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keyset, "MOST", 10)
    rare = pay(world, "green", "blue", "7.77")
    for _ in range(35):
        pay(world, "green", "blue", 1)
    client, query, pages = browser(Role.VIEWER), "least=7&most=8", 0
    while True:
        answer = client.get(f"/portal/transfers/?{query}")
        pages += 1
        if answer.context["page"].rows:
            break
        assert "Search further back" in answer.content.decode()
        query = answer.context["page"].next_query
    assert [row.pk for row in answer.context["page"].rows] == [rare]
    assert pages == 4
    lines = b"".join(client.get("/portal/transfers.csv?least=7&most=8").streaming_content).decode()
    assert rare in lines


def test_no_row_is_lost_where_two_walks_stop_at_different_moments(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keyset, "MOST", 4)
    wanted = set()
    for number in range(30):
        pair = ("green", "blue") if number % 3 else ("blue", "green")
        paid = pay(world, *pair, "2" if number % 5 == 0 else "1")
        if number % 5 == 0:
            wanted.add(paid)
    client, query, seen = browser(Role.VIEWER), "dfsp=green&least=2", []
    for _page in range(30):
        page = client.get(f"/portal/transfers/?{query}").context["page"]
        seen += [row.pk for row in page.rows]
        query = page.next_query
        if not query:
            break
    assert sorted(seen) == sorted(wanted)


# --- by what people know --------------------------------------------------------------------------------------------
@pytest.mark.django_db(transaction=True)
def test_a_payment_is_found_by_the_ids_of_its_quote_and_by_the_aliases_of_its_parties(committed_world: World) -> None:
    world = committed_world
    quote = quoted(world)
    command = prepare(world, "green", "blue", 100, transfer_id=quote["transactionId"])
    run(command)
    # A DFSP that gives its transfer an id of its own is found by the condition that was agreed.
    other = quoted(world, payee=messages.party("blue", "255655009009"))
    answer = messages.terms(condition="B" * 43)
    assert dfsp("PUT", f"/quotes/{other['quoteId']}", answer, source="blue", destination="green").status_code == 200
    of_its_own = prepare(world, "green", "blue", 100, condition="B" * 43)
    run(of_its_own)
    client = browser(Role.VIEWER)
    for query, found in {
        f"id={quote['quoteId']}": [command.transfer_id],
        f"id={quote['transactionId']}": [command.transfer_id],
        f"id={other['quoteId']}": [of_its_own.transfer_id],
        "alias=255655001001": [command.transfer_id],
        "alias=%2B255655001001": [command.transfer_id],
        "alias=255655009009": [of_its_own.transfer_id],
        "alias=255712001001": [of_its_own.transfer_id, command.transfer_id],
        "alias=2556550010": [],
        "alias=%25": [],
    }.items():
        assert found_by(client, query) == found, query
    looked_up = Entry.objects.filter(action="alias_looked_up")
    assert looked_up.exists()
    assert "255655001001" not in json.dumps(list(looked_up.values("subject", "after")))
    stranger = browser_of(person(Role.PARTICIPANT_VIEWER, name="of-red", participant="red"))
    assert found_by(stranger, "alias=255655001001") == []
    assert found_by(stranger, f"id={other['quoteId']}") == []


@pytest.mark.django_db(transaction=True)
def test_an_alias_is_found_in_an_iso_20022_quote_too(committed_world: World) -> None:
    world = committed_world
    body = iso_messages.quote()
    assert iso_messages.iso("POST", "/quotes", body, destination="blue").status_code == 202
    identifier = body["CdtTrfTxInf"]["Cdtr"]["Id"]["PrvtId"]["Othr"]["Id"]
    transaction_id = body["CdtTrfTxInf"]["PmtId"]["EndToEndId"]
    run(prepare(world, "green", "blue", 100, transfer_id=transaction_id))
    assert found_by(browser(Role.VIEWER), f"alias={identifier}") == [transaction_id]


# --- conversions ----------------------------------------------------------------------------------------------------
def test_conversions_are_listed_found_and_told_to_who_took_part(world: World) -> None:
    fx_world.open_scheme(world)
    agreed = fx_world.agreed(world)
    refused = fx_world.fx_prepare(world, str(uuid.uuid4()), source=("TZS", 2000))
    fx_world.run(refused)
    viewer = browser(Role.VIEWER)
    ours, theirs = agreed.commit_request_id, refused.commit_request_id
    for query, found in {
        "": {ours, theirs},
        f"id={ours}": {ours},
        f"id={agreed.determining_transfer_id}": {ours},
        "state=AGREED": {ours},
        "error=4200": {theirs},
        "error=4001": set(),
        "currency=kes": {ours, theirs},
        "currency=UGX": set(),
        "dfsp=fxp": {ours, theirs},
        "dfsp=other": set(),
        "dfsp=nobody": set(),
        "since=x&before=y": set(),
    }.items():
        rows = viewer.get(f"/portal/conversions/?{query}").context["page"].rows
        assert {row.pk for row in rows} == found, query
    page = viewer.get(f"/portal/conversions/{ours}/").content.decode()
    for part in ("Prepared and reserved", "Agreed by the FXP", "fxp has not been notified yet", "not received yet"):
        assert part in page, part
    for name, status in {"green": 200, "fxp": 200, "blue": 404, "red": 404}.items():
        client = browser_of(person(Role.PARTICIPANT_VIEWER, name=f"of-{name}", participant=name))
        assert client.get(f"/portal/conversions/{ours}/").status_code == status
        assert bool(client.get("/portal/conversions/").context["page"].rows) is (status == 200)


@pytest.mark.django_db(transaction=True)
def test_terms_that_were_asked_for_are_listed_and_stand_in_the_conversions_story(committed_world: World) -> None:
    world = fx_world.open_scheme(committed_world)
    asked = fx_messages.fx_quote()
    accept = {"accept": "application/vnd.interoperability.fxQuotes+json;version=2"}
    assert dfsp("POST", "/fxQuotes", asked, destination="fxp", version="2.0", headers=accept).status_code == 202
    terms = asked["conversionTerms"]
    conversion = fx_world.fx_prepare(world, terms["determiningTransferId"], commit_request_id=terms["conversionId"])
    fx_world.run(conversion)
    viewer = browser(Role.VIEWER)
    for any_id in (asked["conversionRequestId"], terms["conversionId"], terms["determiningTransferId"]):
        rows = viewer.get(f"/portal/conversions/terms/?id={any_id}").context["page"].rows
        assert [row.pk for row in rows] == [asked["conversionRequestId"]]
    assert (
        "green requested terms from fxp"
        in viewer.get(f"/portal/conversions/{conversion.commit_request_id}/").content.decode()
    )
    red = browser_of(person(Role.PARTICIPANT_VIEWER, name="of-red", participant="red"))
    assert red.get("/portal/conversions/terms/").context["page"].rows == []


# --- figures --------------------------------------------------------------------------------------------------------
def test_a_minute_is_read_until_nothing_of_it_can_change(world: World) -> None:
    def counted() -> tuple[int, int, int]:
        found = payments_per_minute.latest(30)
        return (
            sum(minute.arrived for minute in found),
            sum(minute.committed for minute in found),
            sum(minute.aborted for minute in found),
        )

    assert len(payments_per_minute.latest(30)) == 31
    assert counted() == (0, 0, 0)
    pay(world, "green", "blue", 3)
    waiting = prepare(world, "green", "blue", 4)
    run(waiting)
    refuse(world, 1)
    assert counted() == (3, 1, 1)
    _move_all(world, minutes=10)
    caches["process"].clear()
    assert counted() == (3, 1, 1)
    # ten minutes ago is over, but one is still under way
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute(
            "UPDATE ledger_transfer SET state = 'ABORTED', reason = 'x', error_code = '3303',"
            " completed_at = now() WHERE state = 'RESERVED'"
        )
    assert counted() == (3, 1, 2)
    before = caches["process"].get(payments_per_minute._KEY)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE ledger_transfer SET currency = 'KES'")
    assert counted() == (3, 1, 2)
    after = caches["process"].get(payments_per_minute._KEY)
    ended = [at for at, minute in before.items() if minute.arrived]
    assert [after[at].rows for at in ended] == [before[at].rows for at in ended]


def _move_all(world: World, *, minutes: int) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute("UPDATE ledger_transfer SET received_at = received_at - make_interval(mins => %s)", [minutes])
        cursor.execute("SET LOCAL session_replication_role = origin")


@pytest.mark.django_db(transaction=True)
def test_the_nets_of_a_window_are_those_of_its_entries_whenever_one_looks(committed_world: World) -> None:
    world = committed_world
    pay(world, "green", "blue", 30)
    window = SettlementWindow.objects.get(state="OPEN")
    assert window_nets.of_window(window) == _nets_of_entries(window)
    _age_entries()
    pay(world, "blue", "green", 10)
    assert window_nets.of_window(window) == _nets_of_entries(window)  # now a part is remembered
    assert caches["process"].get(f"settlement:nets:{window.pk}")[0] > 0
    pay(world, "red", "green", "0.5")
    assert window_nets.of_window(window) == _nets_of_entries(window)
    (own,) = window_nets.of_window(window, participant="blue")
    assert (own.sent, own.received) == (100_000, 300_000)
    services.close_window(reason="test", actor="test")
    window.refresh_from_db()
    assert window_nets.of_window(window) == _nets_of_entries(window)


def _nets_of_entries(window: SettlementWindow) -> list[NetPosition]:
    legs: dict[tuple[str, str], list[int]] = {}
    for entry in LedgerEntry.objects.filter(window=window):
        for side, account in enumerate((entry.debit_account, entry.credit_account)):
            legs.setdefault((account.currency, account.participant.name), [0, 0])[side] += entry.amount
    return [NetPosition(name, currency, *both) for (currency, name), both in sorted(legs.items())]


def _age_entries() -> None:
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE ledger_entry DISABLE TRIGGER USER")
        cursor.execute("UPDATE ledger_entry SET created_at = created_at - interval '2 minutes'")
        cursor.execute("ALTER TABLE ledger_entry ENABLE TRIGGER USER")


@pytest.mark.django_db(transaction=True)
def test_a_participant_sees_its_own_nets_by_window_and_settlement_and_takes_them_along(committed_world: World) -> None:
    world = committed_world
    pay(world, "green", "blue", 30)
    pay(world, "red", "blue", 5)
    services.close_window(reason="test", actor="test")
    pay(world, "blue", "green", 2)
    client = browser_of(person(Role.PARTICIPANT_VIEWER, name="of-green", participant="green"))
    answer = client.get("/portal/own-settlement/")
    shown = [(net.sent, net.received) for own in answer.context["windows"] for net in own.nets]
    assert shown == [(0, 20_000), (300_000, 0)]
    assert not re.search(r"\bred\b", answer.content.decode())  # the word: a token in a form can contain the letters
    lines = b"".join(client.get("/portal/own-settlement/windows.csv").streaming_content).decode().splitlines()
    assert [line.split(",", 4)[4] for line in lines[1:]] == ["TZS,0,2,CREDIT,2", "TZS,30,0,DEBIT,30"]
    assert Transfer.objects.count() == 3
    window = SettlementWindow.objects.exclude(state="OPEN").get()
    rows = client.get(f"/portal/transfers/?window={window.pk}").context["page"].rows
    assert [row.payee_name for row in rows] == ["blue"]


def test_a_batch_of_a_participants_file_reads_few_rows_beyond_its_own(world: World) -> None:
    """Most of a participant's transfers may be shown to it, so a search for them does not read thousands of others."""
    refuse(world, 12)
    wish = transfers.Wish(own=world.account("green").participant_id)
    with CaptureQueriesContext(connection) as captured:
        found = transfers.latest(wish, before=None, size=2)
    assert len(found.rows) == 2
    offsets = [int(each) for sql in captured for each in re.findall(r"OFFSET ([0-9]+)", sql["sql"])]
    assert offsets
    assert max(offsets) < 2 * keyset._FIRST_WIDTH


def test_a_rare_row_is_found_behind_many_others(world: World) -> None:
    refuse(world, 40)
    rare = Transfer.objects.order_by("received_at", "pk").first()
    assert rare is not None
    source = keyset.Source(transfers.all_rows(), Q(pk=rare.pk))
    assert [row.pk for row in keyset.merged([source], before=None, size=2).rows] == [rare.pk]
    few = keyset.merged([keyset.Source(transfers.all_rows(), Q(pk=rare.pk), most=10)], before=None, size=2)
    assert few.rows == []
    assert few.stopped_at is not None
