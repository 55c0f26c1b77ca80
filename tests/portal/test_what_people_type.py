"""Searches understand numbers, amounts and ids as people write them, say how, and drop nothing that is unreadable."""

from typing import Any

import pytest
from django.test import override_settings

from ledger.models import SettlementWindow
from portal import csv_export, users
from portal.permissions import Role
from settlement import services
from tests.api import messages
from tests.api.caller import dfsp
from tests.portal.people import browser, browser_of, person
from tests.settlement.operator_steps import add_model, pay
from tests.world import World, prepare, run

TANZANIA = override_settings(SCHEME_COUNTRY="TZ")


def found_by(client: Any, query: str) -> list[str]:
    return [row.pk for row in client.get(f"/portal/transfers/?{query}").context["page"].rows]


def csv_of(client: Any, query: str) -> str:
    answer = client.get(f"/portal/transfers.csv?{query}")
    assert answer.status_code == 200
    return b"".join(answer.streaming_content).decode()


def paid_by_quote(world: World, amount: Any, number: str = "255655001001") -> str:
    body = messages.quote(payee=messages.party("blue", number))
    assert dfsp("POST", "/quotes", body, destination="blue").status_code == 202
    command = prepare(world, "green", "blue", amount, transfer_id=body["transactionId"])
    run(command)
    return command.transfer_id


@pytest.mark.django_db(transaction=True)
def test_a_number_is_searched_together_with_every_other_filter(committed_world: World) -> None:
    world = committed_world
    small, large = paid_by_quote(world, 5), paid_by_quote(world, 50)
    refused = paid_by_quote(world, 2000)
    client, number = browser(Role.VIEWER), "alias=255655001001"
    for query, expected in {
        number: [refused, large, small],
        f"{number}&least=10&most=100": [large],
        f"{number}&state=ABORTED": [refused],
        f"{number}&error=4200": [refused],
        f"{number}&error=5104": [],
        f"{number}&dfsp=red": [],
        f"{number}&currency=KES": [],
        f"{number}&until=2020-01-01": [],
        f"{number}&window=1000": [],
    }.items():
        assert found_by(client, query) == expected, query
        lines = csv_of(client, query).splitlines()[1:]
        assert [line.split(",")[0] for line in lines] == expected, query


def test_an_id_is_found_in_any_case(world: World) -> None:
    paid, ulid = pay(world, "green", "blue", 1), "01HZX5E4R0AVD1Z8Q0K6T3M9WC"
    run(prepare(world, "green", "blue", 2, transfer_id=ulid))
    client = browser(Role.VIEWER)
    for typed, expected in {paid.upper(): paid, f" {paid} ": paid, ulid.lower(): ulid, ulid: ulid}.items():
        assert found_by(client, f"id={typed}") == [expected], typed
    assert client.get(f"/portal/transfers/{paid.upper()}/").status_code == 200


@pytest.mark.parametrize(
    ("path", "query", "field"),
    [
        ("transfers/", "least=much", "least"),
        ("transfers/", "least=1,00,0", "least"),
        ("transfers/", "since=yesterday", "since"),
        ("transfers/", "state=GONE", "state"),
        ("transfers/", "dfsp=nobody", "dfsp"),
        ("transfers/", "currency=ZZZ", "currency"),
        ("transfers/", "window=x", "window"),
        ("transfers/", "alias=%2B255+6", "alias"),
        ("conversions/", "since=x", "since"),
        ("conversions/", "dfsp=nobody", "dfsp"),
        ("conversions/terms/", "state=GONE", "state"),
        ("audit/", "since=x", "since"),
        ("alerts/", "assigned=somebody", "assigned"),
        ("directory/", "identifier=%2B255+6", "identifier"),
    ],
)
def test_a_filter_that_cannot_be_read_is_an_error_and_finds_nothing(
    world: World, path: str, query: str, field: str
) -> None:
    pay(world, "green", "blue", 1)
    client = browser(Role.ADMINISTRATOR)
    answer = client.get(f"/portal/{path}?{query}")
    assert answer.status_code == 200
    assert answer.context["search"].errors[field]
    assert not answer.context["page"].rows if "page" in answer.context else not answer.context["found"]
    assert "aria-invalid" in answer.content.decode()


@pytest.mark.parametrize("path", ["transfers", "audit/entries"])
def test_a_file_is_not_made_from_a_filter_that_cannot_be_read(world: World, path: str) -> None:
    client = browser(Role.ADMINISTRATOR)
    answer = client.get(f"/portal/{path}.csv?since=x")
    assert answer.status_code == 302
    assert answer["Location"].endswith("?since=x")


def test_amounts_are_read_with_separators_and_echoed(world: World) -> None:
    small, large = pay(world, "green", "blue", 5), pay(world, "green", "blue", 999)
    client = browser(Role.VIEWER)
    for text, expected in {
        "900": [large],
        "900.00": [large],
        "0,900.00": None,
        "1,000": [],
        "3": [large, small],
    }.items():
        answer = client.get("/portal/transfers/", {"least": text})
        if expected is None:
            assert answer.context["search"].errors["least"], text
        else:
            assert [row.pk for row in answer.context["page"].rows] == expected, text
    assert "1,000" in client.get("/portal/transfers/?least=1000").context["search"].understood


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("typed", ["+255 655 001 001", "0655001001", "0655 001-001", "00255655001001", "255655001001"])
def test_a_number_is_understood_as_people_write_it_and_echoed(committed_world: World, typed: str) -> None:
    with TANZANIA:
        paid, client = paid_by_quote(committed_world, 5), browser(Role.OPERATOR)
        answer = client.get("/portal/transfers/", {"alias": typed})
        assert [row.pk for row in answer.context["page"].rows] == [paid]
        assert "Searching for 255655001001" in answer.content.decode()
        page = client.get("/portal/directory/", {"identifier": typed}).content.decode()
        assert "Searching for 255655001001" in page


def test_the_schemes_currencies_come_first_with_their_names(world: World) -> None:
    choices = browser(Role.VIEWER).get("/portal/transfers/").context["search"].fields["currency"].choices
    assert choices[1] == ("TZS", "TZS – Tanzanian Shilling")


def test_a_list_that_is_cut_says_so_and_leads_on(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    add_model()
    made = []
    for _ in range(21):
        pay(world, "green", "blue", 1)
        services.close_window(reason="test", actor="test")
        window = SettlementWindow.objects.exclude(state="OPEN").latest("id")
        made.append(services.create(model_name="DEFERREDNET", window_ids=[window.pk], reason="x", actor="test").pk)
    client = browser(Role.SETTLEMENT)
    page = client.get("/portal/settlement/").content.decode()
    assert "Only the latest 20 are shown." in page
    assert f"/portal/settlement/{made[0]}/" not in page
    everything = client.get("/portal/settlement/all/").content.decode()
    assert all(f"/portal/settlement/{number}/" in everything for number in made)


def test_a_file_that_is_cut_says_so_in_its_last_line(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_export, "MOST_ROWS", 3)
    for _ in range(3):
        pay(world, "green", "blue", 1)
    client = browser(Role.ADMINISTRATOR)
    assert "ends here" not in csv_of(client, "")
    pay(world, "green", "blue", 1)
    lines = csv_of(client, "").splitlines()
    assert len(lines) == 5
    assert lines[-1].startswith('"This file ends here, after 3 rows')
    audit = b"".join(client.get("/portal/audit/entries.csv").streaming_content).decode().splitlines()
    assert audit[-1].startswith('"This file ends here, after 3 rows')


@pytest.mark.parametrize(
    "path", ["transfers/?least=much", "conversions/?since=soon", "audit/?since=soon", "conversions/terms/?since=soon"]
)
def test_a_search_that_cannot_be_read_does_not_say_that_nothing_matches(world: World, path: str) -> None:
    auditor = person(Role.AUDITOR)
    users.set_roles(auditor, roles=frozenset({Role.AUDITOR, Role.VIEWER}), actor="test")
    page = browser_of(auditor).get(f"/portal/{path}").content.decode()
    assert "the hub searched nothing" in page
    assert "match your search" not in page
