"""What each page shows, what it costs, and what it does."""

import csv
import io
from datetime import UTC, datetime, timedelta

import pytest
from django.core.cache import caches
from django.test import Client

from directory import builtin_oracle
from directory.aliases import Alias
from fspiop.money import parse_amount
from hub.audit.models import Approval, Entry
from hub.outbox import store
from hub.outbox.models import Message
from hub.participants.models import Participant
from ledger.models import SettlementWindow, Transfer
from portal import tasks, users
from portal.amounts_and_durations import age, money
from portal.models import LedgerCheck, Profile
from portal.permissions import HUB_ROLES, Role
from settlement.models import Settlement, SettlementModel
from tests import fx_world
from tests.factories import LedgerCheckFactory
from tests.portal.people import browser, browser_of, person
from tests.settlement.operator_steps import add_model, close, onboard_in
from tests.settlement.operator_steps import pay as committed
from tests.world import World, amount, fulfil, prepare, reject, run

SIGNED_IN = 4  # session, user with profile, groups, and what waits for a checker
STRANGE = "<script>alert(1)</script>"


@pytest.fixture(autouse=True)
def _forget_figures() -> None:
    caches["process"].clear()


def pay(world: World, payer: str = "green", payee: str = "blue", text: str = "10") -> str:
    command = prepare(world, payer, payee, text)
    run(command)
    run(fulfil(world, payee, command.transfer_id))
    return command.transfer_id


def text_of(client: Client, path: str) -> str:
    answer = client.get(path)
    assert answer.status_code == 200, path
    return answer.content.decode()


def test_the_overview_shows_the_scheme_as_it_is(world: World) -> None:
    pay(world, text="10")
    pay(world, text="2.5")
    waiting = prepare(world, "green", "red", 100)
    run(waiting)
    refused = prepare(world, "blue", "red", 30)
    run(refused)
    run(reject(world, "red", refused.transfer_id))
    LedgerCheckFactory.create()
    figures = browser(Role.VIEWER).get("/portal/overview/").context["figures"]
    assert (figures.committed, figures.aborted, figures.reserved, figures.breaks) == (2, 1, 1, [])
    assert figures.success_percent == 66.7
    assert list(figures.values) == [("TZS", amount("12.5"), 2)]
    page = text_of(browser(Role.VIEWER, name="second"), "/portal/overview/live/")
    assert ">consistent<" in page
    assert "112.50" in page  # green's position with what is reserved


def test_the_overview_of_an_empty_hub_has_no_sentence_without_its_figure(db: None) -> None:
    caches["process"].clear()
    SettlementWindow.objects.all().delete()
    page = text_of(browser(Role.VIEWER), "/portal/overview/")
    assert "within –" not in page
    assert "open for –" not in page
    assert "no payment in 30 min" in page
    assert "no window is open" in page


def test_each_page_names_the_users_time_zone_and_the_overviews_charts_use_it(world: World) -> None:
    user = person(Role.VIEWER)
    page = text_of(browser_of(user), "/portal/overview/")
    assert 'title="UTC"' in page
    assert 'data-time-zone="UTC"' in page
    Profile.objects.filter(user=user).update(time_zone="Africa/Dar_es_Salaam")
    page = text_of(browser_of(user), "/portal/overview/")
    assert 'title="Africa/Dar_es_Salaam"><span class="visually-hidden">Time zone: </span>EAT</a>' in page
    assert 'data-time-zone="Africa/Dar_es_Salaam"' in page


def test_the_overview_says_when_the_ledger_is_broken(world: World) -> None:
    LedgerCheckFactory.create(breaks=["books_balance"])
    page = text_of(browser(Role.VIEWER), "/portal/overview/")
    assert ">inconsistent<" in page
    assert "books_balance" in page


@pytest.mark.django_db(transaction=True)
def test_the_task_keeps_what_the_invariants_found(committed_world: World) -> None:
    tasks.check_ledger()
    assert LedgerCheck.objects.get().breaks == []


@pytest.mark.parametrize(
    ("path", "queries"),
    [
        ("overview/", 5),  # and those that go past Django
        ("transfers/", 2),
        ("participants/", 3),
        ("participants/green/", 10),
        ("participants/green/off-boarding/", 8),
        ("callbacks/", 5),
        ("directory/", 1),
        ("settlement/", 3),
        ("approvals/", 2),
        ("users/", 3),
        ("users/nobody/", 4),
        ("notifications/", 1),
        ("audit/", 1),
    ],
)
def test_a_page_costs_the_same_whatever_there_is(
    world: World, path: str, queries: int, django_assert_num_queries: object
) -> None:
    user = person(Role.ADMINISTRATOR)
    users.set_roles(user, roles=HUB_ROLES, actor="test")
    person(None)
    client = browser_of(user)
    client.get(f"/portal/{path}")  # writes down when the visitor was seen
    counts = []
    for _round in range(2):
        caches["process"].clear()
        with django_assert_num_queries(SIGNED_IN + queries) as counted:  # type: ignore[operator]
            client.get(f"/portal/{path}")
        counts.append(len(counted))
        for _ in range(3):
            pay(world)
            run(prepare(world, "green", "red", 1))
        Message.objects.update(state="DEAD")
    assert counts[0] == counts[1]


def test_transfers_are_found_by_what_people_know_of_them(world: World) -> None:
    paid = pay(world, text="10")
    refused = prepare(world, "green", "red", 2000)
    run(refused)
    assert Transfer.objects.get(pk=refused.transfer_id).error_code == "4200"
    window = SettlementWindow.objects.get(state="OPEN").pk
    client = browser(Role.VIEWER)
    today = datetime.now(UTC).date()
    for query, found in {
        f"id={paid}": {paid},
        "dfsp=blue": {paid},
        "dfsp=green": {paid, refused.transfer_id},
        "dfsp=grey": set(),
        "state=ABORTED": {refused.transfer_id},
        "error=4200": {refused.transfer_id},
        "least=10&most=10.00": {paid},
        "least=10.01": {refused.transfer_id},
        "currency=tzs": {paid, refused.transfer_id},
        "currency=KES": set(),
        f"window={window}": {paid},
        f"since={today}": {paid, refused.transfer_id},
        f"until={today - timedelta(days=1)}": set(),
        # what is not understood finds nothing and breaks nothing
        "least=x&since=never&window=abc": set(),
        "id=' OR 1=1 --": set(),
        "before=x": {paid, refused.transfer_id},
    }.items():
        rows = client.get(f"/portal/transfers/?{query}").context["page"].rows
        assert {row.pk for row in rows} == found, query


def test_transfers_are_paged_by_key_without_loss(world: World) -> None:
    ids = {pay(world, text="0.5") for _ in range(60)}
    client, seen, query = browser(Role.VIEWER), [], ""
    for _page in range(3):
        page = client.get(f"/portal/transfers/?{query}").context["page"]
        seen += [row.pk for row in page.rows]
        query = page.next_query
        if not query:
            break
    assert len(seen) == 60
    assert set(seen) == ids


def test_transfers_leave_as_a_file_with_exact_amounts(world: World) -> None:
    paid = pay(world, text="12.3456")
    answer = browser(Role.VIEWER).get("/portal/transfers.csv?state=COMMITTED")
    rows = list(csv.DictReader(io.StringIO(b"".join(answer.streaming_content).decode())))
    assert [(row["transferId"], row["amount"], row["payer"]) for row in rows] == [(paid, "12.3456", "green")]


def test_a21_a_payments_page_tells_its_story_and_runs_none_of_it(world: World) -> None:
    paid = pay(world, text="10")
    store.delivered([(Message.objects.get(subject=paid, kind="prepare").pk, 202)])
    Message.objects.filter(subject=paid).update(state="DEAD", last_error=STRANGE)
    page = text_of(browser(Role.OPERATOR), f"/portal/transfers/{paid}/")
    for part in (
        "Prepared and reserved",
        "Fulfilled and committed",
        "blue was notified",
        "green was not notified",
        "HTTP 202",
    ):
        assert part in page, part
    assert STRANGE not in page
    assert "&lt;script&gt;" in page


def test_an_operator_sends_again_what_was_given_up(world: World) -> None:
    paid = pay(world)
    message = Message.objects.get(subject=paid, kind="end-to-payer")
    Message.objects.filter(pk=message.pk).update(state="DEAD", due_at=datetime.now(UTC) + timedelta(hours=1))
    client = browser(Role.OPERATOR)
    assert "Given up" in text_of(client, "/portal/callbacks/")
    answer = client.post(f"/portal/callbacks/{message.pk}/resend/", {"back": "https://evil.example/"})
    assert answer["Location"] == "/portal/callbacks/"
    message.refresh_from_db()
    assert message.state == "PENDING"
    assert message.due_at <= datetime.now(UTC)
    Message.objects.update(state="DEAD")
    client.post("/portal/callbacks/of/green/resend/")
    assert set(Message.objects.filter(destination__name="green").values_list("state", flat=True)) == {"PENDING"}
    before = Message.objects.filter(destination__name="green").count()
    assert client.post("/portal/callbacks/999999/resend/").status_code == 302
    assert Message.objects.filter(destination__name="green").count() == before


@pytest.mark.django_db(transaction=True)
def test_a_party_is_told_again_how_a_transfer_stands(committed_world: World) -> None:
    paid = pay(committed_world)
    before = Message.objects.filter(destination__name="green").count()
    client = browser(Role.OPERATOR)
    client.post(f"/portal/transfers/{paid}/tell/", {"to": "green"})
    assert Message.objects.filter(destination__name="green").count() == before + 1
    assert client.post(f"/portal/transfers/{paid}/tell/", {"to": "red"}).status_code == 404


def test_a33_an_alias_is_found_whole_and_its_search_recorded_without_it(world: World) -> None:
    builtin_oracle.register([Alias("MSISDN", "255712000101")], Participant.objects.get(name="blue"))
    client = browser(Role.VIEWER)
    assert "blue" in text_of(client, "/portal/directory/?identifier=255712000101")
    assert "blue" not in text_of(client, "/portal/directory/?identifier=25571")
    assert "255712000101" not in str(list(Entry.objects.values_list("subject", "before", "after")))


def test_a21_a_connection_is_tested_and_its_answer_shown_escaped(world: World) -> None:
    client = browser(Role.OPERATOR)
    green = Participant.objects.get(name="green")
    green.endpoints.update(value="http://127.0.0.1:1/fsp/{{x}}")
    endpoint = green.endpoints.get()
    answer = client.post("/portal/participants/green/connection/", {"endpoint": endpoint.pk}, follow=True)
    assert "No response from http://127.0.0.1:1/fsp/" in answer.content.decode()
    assert client.post("/portal/participants/blue/connection/", {"endpoint": endpoint.pk}).status_code == 404
    assert client.post("/portal/participants/green/connection/", {"endpoint": "x"}).status_code in (400, 404)


@pytest.mark.django_db(transaction=True)
def test_a_window_is_closed_settled_and_its_settlement_finalised_by_two_people(committed_world: World) -> None:
    world = committed_world
    model_name = _deferred_net_model()
    pay(world, "green", "blue", "100")
    officer, checker = browser(Role.SETTLEMENT), browser(Role.RISK)
    window = SettlementWindow.objects.get(state="OPEN")
    assert officer.post(f"/portal/settlement/windows/{window.pk}/close/", {"reason": ""}).status_code == 302
    assert SettlementWindow.objects.get(pk=window.pk).state == "OPEN"
    officer.post(f"/portal/settlement/windows/{window.pk}/close/", {"reason": "end of day"})
    assert SettlementWindow.objects.get(pk=window.pk).state == "CLOSED"
    page = text_of(officer, f"/portal/settlement/windows/{window.pk}/")
    assert "100.00" in page
    assert f"{model_name} (all other currencies, POSITION)" in page
    officer.post(f"/portal/settlement/windows/{window.pk}/settle/", {"model": model_name, "reason": "end of day"})
    settlement = Settlement.objects.get()
    path = f"/portal/settlement/{settlement.pk}/"
    assert "green" in text_of(officer, path)
    without = {"without_statement": "on", "because": "its line is down; it said so by telephone"}
    officer.post(f"{path}advance/", {"to": "SETTLED", "reason": "bank says so"} | without)
    approval = Approval.objects.get()
    assert Settlement.objects.get().state == "PENDING_SETTLEMENT"
    officer.post(f"/portal/approvals/{approval.pk}/approve/")
    assert Settlement.objects.get().state == "PENDING_SETTLEMENT"
    checker.post(f"/portal/approvals/{approval.pk}/approve/")
    assert Settlement.objects.get().state == "SETTLED"
    assert world.position("green") == 0
    assert world.breaks() == []
    page = text_of(officer, path)
    assert "Send the file of payments to the bank." not in page
    assert page.count("bank says so") > len(settlement.accounts.all())  # the accounts, and the settlement itself


@pytest.mark.django_db(transaction=True)
def test_a_window_of_two_models_is_settled_by_one_settlement_of_each(committed_world: World) -> None:
    world = committed_world
    default, of_kes = _deferred_net_model(), "OF_KES"
    assert add_model(of_kes, currency="KES").status_code == 201
    onboard_in(world, "KES")
    committed(world, "green", "blue", 100)
    committed(world, "green", "blue", 5, currency="KES")
    officer, number = browser(Role.SETTLEMENT), close()
    path, listed = f"/portal/settlement/windows/{number}/", "a part waits for a settlement"
    page = text_of(officer, path)
    assert f">{default} (" in page
    assert f">{of_kes} (" in page
    assert listed not in text_of(officer, "/portal/settlement/")
    officer.post(f"{path}settle/", {"model": default, "reason": "end of day"})
    page = text_of(officer, path)
    assert "A part of this window still waits for a settlement." in page
    assert f">{default} (" not in page
    assert listed in text_of(officer, "/portal/settlement/")
    officer.post(f"{path}settle/", {"model": of_kes, "reason": "end of day"})
    assert Settlement.objects.count() == 2
    assert "Create settlement" not in text_of(officer, path)
    assert listed not in text_of(officer, "/portal/settlement/")


def _deferred_net_model() -> str:
    found = SettlementModel.objects.filter(is_active=True, delay="DEFERRED").first()
    if found is None:
        found = SettlementModel.objects.create(
            name="DEFERREDNET",
            granularity="NET",
            interchange="MULTILATERAL",
            delay="DEFERRED",
            require_liquidity_check=True,
            auto_position_reset=True,
            ledger_account_type="POSITION",
            settlement_account_type="SETTLEMENT",
        )
    return found.name


def test_amounts_are_written_with_their_currencys_decimals_or_more() -> None:
    assert money(parse_amount("1234567.5"), "TZS") == "1,234,567.50"
    assert money(parse_amount("12.3456"), "TZS") == "12.3456"
    assert money(parse_amount("7"), "UGX") == "7"
    assert money(-parse_amount("7"), "TZS") == "−7.00"
    assert money(None) == "–"
    assert [age(seconds) for seconds in (0.25, 42, 200, 9000, 400000)] == ["0.2 s", "42 s", "3 min", "2 h", "4 d"]


def test_a_payments_conversion_is_on_its_page_for_who_took_part_in_it(world: World) -> None:
    fx_world.open_scheme(world)
    conversion = fx_world.agreed(world)
    paid = conversion.determining_transfer_id
    run(prepare(world, "green", "blue", 5, currency="KES", transfer_id=paid))
    run(fulfil(world, "blue", paid))
    assert fx_world.fx_state_of(conversion.commit_request_id) == "COMMITTED"
    viewer = browser(Role.VIEWER)
    page = text_of(viewer, f"/portal/transfers/{paid}/")
    assert "100.00 TZS → 5.00 KES" in page
    found = viewer.get(f"/portal/transfers/?id={conversion.commit_request_id}").context["page"].rows
    assert [row.pk for row in found] == [paid]
    for name, is_shown in {"green": True, "blue": False}.items():
        client = browser_of(person(Role.PARTICIPANT_VIEWER, name=f"of-{name}", participant=name))
        assert (conversion.commit_request_id in text_of(client, f"/portal/transfers/{paid}/")) is is_shown
