"""Finding a payment: by what a caller knows, over transfers and attempts that never became one; and its verdict."""

import base64
import hashlib
import io
import json
from datetime import time, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client, override_settings
from django.test.utils import CaptureQueriesContext
from django.utils import timezone, translation

from directory import builtin_oracle
from directory.aliases import Alias
from fspiop import ilp, keys_and_certificates
from hub.audit.models import Entry as AuditEntry
from hub.participants.models import Participant
from ledger import accounts_and_funds
from ledger.models import Transfer
from portal.models import SavedView
from portal.payment_search_form import PaymentSearch, read_words
from portal.permissions import Role
from quotes.models import Quote
from rules.party_keys import key_of
from rules.rulesets import active_rules
from settlement import services as settlement
from settlement.states import State
from tests.api import messages
from tests.api.caller import dfsp
from tests.fx_world import agreed, open_scheme
from tests.keys import OTHER_FULFILMENT
from tests.portal.people import browser, browser_of, person
from tests.portal.test_transfer_history import deliver
from tests.rules.rule_sets import activate, cap, rule
from tests.rules.rule_sets import refuse as refuse_with
from tests.rules.two_people import decide
from tests.settlement.operator_steps import add_model, close, pay, set_cap
from tests.settlement.test_bank_payments import withdraw
from tests.world import World, fulfil, prepare, run

NUMBER, PAYER = "255655001005", "255712001001"
pytestmark = [pytest.mark.django_db(transaction=True)]


def look_up(number: str = NUMBER, *, answered: bool = True) -> None:
    assert dfsp("GET", f"/parties/MSISDN/{number}").status_code == 202
    deliver()
    if answered:
        who = {"party": messages.party("blue", number)}
        assert dfsp("PUT", f"/parties/MSISDN/{number}", who, source="blue", destination="green").status_code == 200
        deliver()


def ask(amount: str = "100", number: str = NUMBER, **more: Any) -> dict[str, Any]:
    money = {"currency": "TZS", "amount": amount}
    body = messages.quote(payee=messages.party("blue", number, **more), amount=money, note="solar lamp")
    assert dfsp("POST", "/quotes", body, destination="blue").status_code == 202
    deliver()
    return body


def answer(quote: dict[str, Any]) -> None:
    terms = messages.terms(transferAmount=quote["amount"])
    assert dfsp("PUT", f"/quotes/{quote['quoteId']}", terms, source="blue", destination="green").status_code == 200
    deliver()


def refuse(quote: dict[str, Any]) -> None:
    path = f"/quotes/{quote['quoteId']}/error"
    assert dfsp("PUT", path, messages.error("5103", "no"), source="blue", destination="green").status_code == 200
    deliver()


@pytest.fixture
def found(committed_world: World) -> dict[str, str]:
    """What happened to four customers: paid, refused at the quote, walked away after it, and only looked up."""
    world = committed_world
    builtin_oracle.register([Alias("MSISDN", NUMBER)], Participant.objects.get(name="blue"))
    look_up()
    paid = ask("3.5", personalInfo={"complexName": {"firstName": "Amina", "lastName": "Juma"}})
    answer(paid)
    run(prepare(world, "green", "blue", "3.5", transfer_id=paid["transactionId"]))
    run(fulfil(world, "blue", paid["transactionId"]))
    deliver()
    refused, left = ask("7"), ask("9")
    refuse(refused)
    answer(left)
    request = {
        "transactionRequestId": "b51ec534-ee48-4575-b6a9-ead2955b8069",
        "payee": messages.party("blue", NUMBER),
        "payer": {"partyIdType": "MSISDN", "partyIdentifier": PAYER},
        "amount": {"currency": "TZS", "amount": "11"},
        "transactionType": messages.TRANSACTION_TYPE,
    }
    assert dfsp("POST", "/transactionRequests", request, source="blue", destination="green").status_code == 202
    deliver()
    look_up()
    return {
        "paid": paid["transactionId"],
        "refused": refused["quoteId"],
        "left": left["quoteId"],
        "request": request["transactionRequestId"],
    }


def rows(client: Any, query: str = "", **fields: str) -> list[tuple[str, str]]:
    page = client.get("/portal/payments/", {"q": query, **fields} if query else fields)
    assert page.status_code == 200
    assert not page.context["search"].errors, page.context["search"].errors
    return [(kind, "" if kind == "lookup" else row.pk) for kind, row in page.context["rows"]]


@override_settings(SCHEME_COUNTRY="TZ")
def test_one_box_finds_transfers_and_attempts_by_number_amount_time_and_either_side(found: dict[str, str]) -> None:
    client = browser(Role.VIEWER)
    paid, refused = ("transfer", found["paid"]), ("quote", found["refused"])
    left, request = ("quote", found["left"]), ("request", found["request"])
    lookup = ("lookup", "")
    now = timezone.localtime()
    hour, day = (now - timedelta(minutes=1)).strftime("%H:%M"), now.date().isoformat()
    old = (now - timedelta(days=2)).date().isoformat()
    for query, expected in {
        "0655 001 005": [lookup, request, left, refused, paid],
        "+255 655 001 005": [lookup, request, left, refused, paid],
        f"{NUMBER} 3.50": [paid],
        f"{NUMBER} 7 TZS": [refused],
        f"{PAYER}": [request, left, refused, paid],
        "9.00": [left],
        "11": [request],
        "7 tzs blue": [refused],
        "7 red": [],
        "7 KES": [],
        f"{day} {hour}": [request, left, refused, paid],
        f"{old} {NUMBER}": [],
        f"{hour} green": [request, left, refused, paid],
        found["paid"].upper(): [paid],
        found["refused"].upper(): [refused],
        found["request"]: [request],
    }.items():
        assert rows(client, query) == expected, query
    assert rows(client, alias="0655001005", kind="quote") == [left, refused]
    assert rows(client, payer="green", amount="7") == [refused]
    assert rows(client, payee="green", amount="7") == []
    page = client.get("/portal/payments/", {"q": "0655 001 005 3,000"}).content.decode()
    assert "Searching for 255655001005 or 0655001005, amount 3,000" in page
    assert AuditEntry.objects.filter(action="alias_looked_up").exists()
    assert NUMBER not in json.dumps(list(AuditEntry.objects.values("subject", "after")))


@override_settings(SCHEME_COUNTRY="TZ")
def test_pages_of_a_number_lose_and_repeat_nothing(found: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("portal.pagination.PAGE_SIZE", 2)
    monkeypatch.setattr("portal.queries.payments.QUOTES_AT_ONCE", 2)
    client, seen, query = browser(Role.VIEWER), [], f"q={NUMBER}"
    for _page in range(9):
        context = client.get(f"/portal/payments/?{query}").context
        seen += [kind for kind, _row in context["rows"]]
        query = context["page"].next_query
        if not query:
            break
    assert seen == ["lookup", "request", "quote", "quote", "transfer"]


def test_a_lookup_that_the_hub_refused_is_found_by_its_number(committed_world: World) -> None:
    look_up("255655009999", answered=False)
    deliver()
    client = browser(Role.VIEWER)
    assert rows(client, "+255655009999") == [("lookup", "")]
    assert "The hub refused the lookup" in client.get("/portal/payments/?q=%2B255655009999").content.decode()


def test_a_lookup_that_a_rule_refused_shows_the_reason_but_not_to_the_payees_people(committed_world: World) -> None:
    builtin_oracle.register([Alias("MSISDN", NUMBER)], Participant.objects.get(name="blue"))
    activate(rule("no-way", None, refuse_with("3145"), gate="lookup", when={"payee_dfsps": ["blue"]}))
    look_up(answered=False)
    hub, payer = browser(Role.VIEWER), browser(Role.PARTICIPANT_VIEWER, participant="green", name="of-green")
    payee = browser(Role.PARTICIPANT_VIEWER, participant="blue", name="of-blue")
    asked = f"/portal/payments/?q={NUMBER}"
    assert "The hub refused the lookup: 3145" in (text := hub.get(asked).content.decode())
    assert "Rules: no-way" in text
    assert "The hub refused the lookup: 3145" in (text := payer.get(asked).content.decode())
    assert "no-way" not in text
    assert rows(payee, NUMBER) == []


def test_a_lookup_that_a_kill_switch_refused_says_so_to_the_hubs_people_only(committed_world: World) -> None:
    builtin_oracle.register([Alias("MSISDN", NUMBER)], Participant.objects.get(name="blue"))
    decide("kill_switch", {"kind": "ALIAS", "party": key_of("MSISDN", NUMBER), "on": True, "reason": "stolen"})
    active_rules.forget()
    look_up(answered=False)
    hub, payer = browser(Role.VIEWER), browser(Role.PARTICIPANT_VIEWER, participant="green", name="of-green")
    payee = browser(Role.PARTICIPANT_VIEWER, participant="blue", name="of-blue")
    asked = f"/portal/payments/?q={NUMBER}"
    text = hub.get(asked).content.decode()
    assert "The hub refused the lookup: 5540 Payee may not receive. A kill switch refused the payment." in text
    text = payer.get(asked).content.decode()
    assert "The hub refused the lookup: 5540 Payee may not receive." in text
    assert "kill switch" not in text
    assert rows(payee, NUMBER) == []


@override_settings(SCHEME_COUNTRY="TZ")
def test_a_quote_that_the_rules_refused_is_found_but_not_by_the_payees_people(committed_world: World) -> None:
    activate(cap("100", code="3145"))
    quote_id = ask("101")["quoteId"]
    hub, payer = browser(Role.VIEWER), browser(Role.PARTICIPANT_VIEWER, participant="green", name="of-green")
    payee = browser(Role.PARTICIPANT_VIEWER, participant="blue", name="of-blue")
    for query in (NUMBER, "101", quote_id, "green"):
        assert rows(hub, query) == [("quote", quote_id)], query
        assert rows(payer, query) == [("quote", quote_id)], query
        assert rows(payee, query) == [], query
    page = hub.get(f"/portal/payments/quotes/{quote_id}/")
    text = page.content.decode()
    assert "the scheme&#x27;s rules refused the quote. blue did not receive it." in text
    assert "Quote refused by the scheme&#x27;s rules" in text
    assert "3145" in text
    assert "cap-100" in text
    assert payer.get(f"/portal/payments/quotes/{quote_id}/").status_code == 200
    assert "cap-100" not in payer.get(f"/portal/payments/quotes/{quote_id}/").content.decode()
    assert payee.get(f"/portal/payments/quotes/{quote_id}/").status_code == 404


def test_a_transfer_after_a_refused_quote_shows_the_payees_people_nothing_of_the_quote(committed_world: World) -> None:
    activate(cap("100", code="3145"))
    quote = ask("101")
    run(prepare(committed_world, "green", "blue", "5", transfer_id=quote["transactionId"]))
    client = browser(Role.PARTICIPANT_VIEWER, participant="blue", name="of-blue")
    page = client.get(f"/portal/transfers/{quote['transactionId']}/")
    assert page.status_code == 200
    assert quote["quoteId"] not in page.content.decode()
    assert "solar lamp" not in page.content.decode()


def test_what_the_box_cannot_read_is_an_error(found: dict[str, str]) -> None:
    client = browser(Role.VIEWER)
    for text in ("hello", "3,00,0", "+255 6", "25:99", "2026-13-40"):
        page = client.get("/portal/payments/", {"q": text})
        assert page.context["search"].errors["q"], text
        assert page.context["rows"] == []
    page = client.get("/portal/payments/", {"q": "7", "amount": "8"})
    assert page.context["search"].errors["amount"]


def test_a_payment_found_by_its_id_must_meet_every_other_condition(found: dict[str, str]) -> None:
    client, old = browser(Role.VIEWER), (timezone.localtime() - timedelta(days=2)).date().isoformat()
    paid, refused, request = found["paid"], found["refused"], found["request"]
    for words, kind, are_met in (
        ((paid, "3.50", "TZS", "green", "blue", NUMBER, PAYER), "transfer", True),
        ((paid, "3,000,000", "KES", "red", old, "255655009999"), "transfer", False),
        ((refused, "7", "TZS", "blue", NUMBER, PAYER), "quote", True),
        ((refused, "8", "KES", "red", old, "255655009999"), "quote", False),
        ((request, "11", "TZS", "green", NUMBER), "request", True),
        ((request, "12", "KES", "red", old, "255655009999"), "request", False),
    ):
        any_id, *conditions = words
        for condition in conditions:
            expected = [(kind, any_id)] if are_met else []
            assert rows(client, f"{any_id} {condition}") == expected, (kind, condition)
    for fields, expected in (
        ({"payer": "red"}, []),
        ({"payer": "green", "payee": "blue", "alias": NUMBER}, [("transfer", paid)]),
        ({"since": "2020-01-01T10:00", "until": "2020-01-02T10:00"}, []),
        ({"kind": "quote"}, []),
        ({"kind": "transfer"}, [("transfer", paid)]),
    ):
        assert rows(client, paid, **fields) == expected, fields
    assert rows(client, f"{paid} {refused}") == [("quote", refused), ("transfer", paid)]


def test_two_dfsps_are_the_two_sides_in_any_order(found: dict[str, str]) -> None:
    client = browser(Role.VIEWER)
    for query, expected in {
        "green blue 3.5": [("transfer", found["paid"])],
        "blue green 3.5": [("transfer", found["paid"])],
        "blue green 7": [("quote", found["refused"])],
        "green red 3.5": [],
        "red blue 7": [],
        f"green blue {NUMBER}": ["lookup", "request", "quote", "quote", "transfer"],
        f"green red {NUMBER}": [],
    }.items():
        shown = rows(client, query)
        assert expected == [kind for kind, _ in shown] if NUMBER in query else expected == shown, query


def test_a_second_value_of_a_kind_is_an_error(found: dict[str, str]) -> None:
    client = browser(Role.VIEWER)
    for text in (
        "3,000 4,000",
        "2026-11-01 2026-11-02",
        "10:15 11:15",
        "TZS KES",
        "green blue red",
        "a@x.example b@x.example",
        "+255655001005 +255655001006",
        f"{found['paid']} 7 8",
    ):
        page = client.get("/portal/payments/", {"q": text})
        assert "one value too many" in str(page.context["search"].errors["q"]), text
        assert page.context["rows"] == []
    assert rows(client, "3.5 3.50 TZS tzs green GREEN") == [("transfer", found["paid"])]


def test_a_time_in_the_box_and_a_time_in_a_field_both_hold(found: dict[str, str]) -> None:
    client, today = browser(Role.VIEWER), timezone.localtime()
    day = today.date().isoformat()
    assert rows(client, f"{day} 3.5", since="2020-01-01T00:00") == [("transfer", found["paid"])]
    later = (today + timedelta(minutes=5)).strftime("%Y-%m-%dT%H:%M")
    assert rows(client, f"{day} 3.5", since=later) == [] if later.startswith(day) else True


def test_the_example_in_the_box_can_be_read_in_each_language() -> None:
    for code in ("en", "fr", "sw"):
        for country in ("", "TZ", "KE", "CI", "CD"):
            with override_settings(SCHEME_COUNTRY=country), translation.override(code):
                text = PaymentSearch({}).fields["q"].widget.attrs["placeholder"]
                words = read_words(text, {}, frozenset())
            assert (words.amount, words.hours) == (30_000_000, (time(10, 15), None)), (code, country, text)
            assert words.identifier, (code, country, text)


# --- identifiers of any type ------------------------------------------------------------------------------------------

OTHERS = {"BUSINESS": "0655001005", "ACCOUNT_ID": "0012345678", "DEVICE": "00123456789", "ALIAS": "123-456"}


@override_settings(SCHEME_COUNTRY="TZ")
def test_an_identifier_that_looks_like_a_telephone_number_is_found_as_it_is_written(committed_world: World) -> None:
    client, world = browser(Role.VIEWER), committed_world
    for id_type, identifier in OTHERS.items():
        party = {"partyIdInfo": {"partyIdType": id_type, "partyIdentifier": identifier, "fspId": "blue"}}
        body = messages.quote(payee=party)
        assert dfsp("POST", "/quotes", body, destination="blue").status_code == 202
        run(prepare(world, "green", "blue", 5, transfer_id=body["transactionId"]))
        expected = body["transactionId"]
        assert rows(client, identifier) == [("transfer", expected)], identifier
        assert rows(client, alias=identifier) == [("transfer", expected)], identifier
        page = client.get("/portal/transfers/", {"alias": identifier}).context["page"]
        assert [row.pk for row in page.rows] == [expected], identifier
        story = client.get(f"/portal/transfers/{expected}/").content.decode()
        assert f"?alias={identifier}" in story


@override_settings(SCHEME_COUNTRY="TZ")
def test_a_lookup_of_any_type_is_found_by_its_identifier(committed_world: World) -> None:
    client, blue = browser(Role.VIEWER), Participant.objects.get(name="blue")
    for alias in (
        Alias("PERSONAL_ID", "AB12345", "PASSPORT"),
        Alias("PERSONAL_ID", "CD12345"),
        Alias("DEVICE", "00123456789"),
        Alias("BUSINESS", "123-456"),
        Alias("BUSINESS", "KE-77001"),
        Alias("MSISDN", "255655001005", "SAVINGS"),
        Alias("EMAIL", "asha@blue.example"),
    ):
        builtin_oracle.register([alias], blue)
        path = "/".join(filter(None, ["/parties", alias.type, alias.identifier, alias.sub_id]))
        assert dfsp("GET", path).status_code == 202
        deliver()
        assert rows(client, alias=alias.identifier) == [("lookup", "")], path
        assert rows(client, alias.identifier) == [("lookup", "")], path


# --- payments of a bulk -----------------------------------------------------------------------------------------------

OTHER_CONDITION = ilp.condition_for(OTHER_FULFILMENT)
EMPLOYER, WORKER, OTHER_WORKER, LOST = "255712001001", "255655001000", "255655001001", "255655001002"


@pytest.fixture
def salaries(committed_world: World) -> dict[str, Any]:
    """A bulk of three salaries: one is paid under its transaction's id, one under an id of its own, and one is lost."""
    asked = messages.bulk_quote(3)
    for number, payment in enumerate(asked["individualQuotes"]):
        payment["payee"]["name"], payment["note"] = f"Worker {number}", f"salary {number}"
    assert dfsp("POST", "/bulkQuotes", asked, destination="blue").status_code == 202
    given = messages.bulk_terms(asked)
    refusal = {"quoteId": asked["individualQuotes"][2]["quoteId"], **messages.error("5200", "Payee limit error")}
    own = given["individualQuoteResults"][1] | {"condition": OTHER_CONDITION}
    given["individualQuoteResults"][1:] = [own, refusal]
    path = f"/bulkQuotes/{asked['bulkQuoteId']}"
    assert dfsp("PUT", path, given, source="blue", destination="green").status_code == 200
    first, second, third = asked["individualQuotes"]
    body = messages.bulk_transfer(bulkQuoteId=asked["bulkQuoteId"])
    body["individualTransfers"][0]["transferId"] = first["transactionId"]
    body["individualTransfers"][1]["condition"] = OTHER_CONDITION
    assert dfsp("POST", "/bulkTransfers", body, destination="blue").status_code == 202
    return {
        "bulk": asked["bulkQuoteId"],
        "paid": first["transactionId"],
        "own": body["individualTransfers"][1]["transferId"],
        "own_transaction": second["transactionId"],
        "lost": third["quoteId"],
    }


def test_a_payment_of_a_bulk_is_found_by_its_customers_and_its_ids(salaries: dict[str, Any]) -> None:
    client = browser(Role.VIEWER)
    paid, own, lost = ("transfer", salaries["paid"]), ("transfer", salaries["own"]), ("quote", salaries["lost"])
    for query, expected in {
        f"+{WORKER}": [paid],
        f"+{OTHER_WORKER}": [own],
        f"+{LOST}": [lost],
        f"+{LOST} 1 TZS green blue": [lost],
        f"+{LOST} 2": [],
        f"+{LOST} red": [],
        salaries["lost"]: [lost],
        salaries["paid"]: [paid],
        f"{salaries['paid']} +{WORKER}": [paid],
        f"{salaries['paid']} +{OTHER_WORKER}": [],
    }.items():
        assert rows(client, query) == expected, query
    assert sorted(rows(client, f"+{EMPLOYER}")) == sorted([paid, own, lost])
    assert sorted(rows(client, salaries["bulk"])) == sorted([paid, own, lost])
    for query, expected in {
        f"alias={WORKER}": [salaries["paid"]],
        f"alias={OTHER_WORKER}": [salaries["own"]],
        f"alias={LOST}": [],
        f"id={salaries['own_transaction']}": [salaries["own"]],
        f"id={salaries['paid']}&alias={WORKER}": [salaries["paid"]],
        f"id={salaries['paid']}&alias={OTHER_WORKER}": [],
    }.items():
        shown = client.get(f"/portal/transfers/?{query}").context["page"].rows
        assert [row.pk for row in shown] == expected, query
    for name, count in {"green": 3, "blue": 3, "red": 0}.items():
        own_people = browser_of(person(Role.PARTICIPANT_VIEWER, name=f"of-{name}", participant=name))
        assert len(rows(own_people, f"+{EMPLOYER}")) == count, name
        status = own_people.get(f"/portal/payments/quotes/{salaries['lost']}/").status_code
        assert status == (200 if count else 404), name


def test_the_pages_about_a_payment_of_a_bulk_name_its_customers(salaries: dict[str, Any]) -> None:
    client = browser(Role.VIEWER)
    for number, transfer_id in enumerate((salaries["paid"], salaries["own"])):
        page = client.get(f"/portal/transfers/{transfer_id}/").content.decode()
        for text in (f"Worker {number}", f"25565500100{number}", EMPLOYER, f"salary {number}", "Quote requested"):
            assert text in page, (number, text)
        assert f"Worker {1 - number}" not in page
    page = client.get(f"/portal/payments/quotes/{salaries['lost']}/").content.decode()
    for text in ("Not paid: the quote was rejected.", "5200 Payee limit error", "Worker 2", LOST, "1.00 TZS"):
        assert text in page, text


def test_pages_of_the_payments_of_a_bulk_lose_and_repeat_nothing(
    salaries: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("portal.pagination.PAGE_SIZE", 1)
    monkeypatch.setattr("portal.queries.payments.QUOTES_AT_ONCE", 2)
    client = browser(Role.VIEWER)
    for begin in (f"q=%2B{EMPLOYER}", f"q={salaries['bulk']}"):
        query, seen = begin, []
        while query and len(seen) < 9:
            context = client.get(f"/portal/payments/?{query}").context
            seen += [row.pk for _kind, row in context["rows"]]
            query = context["page"].next_query
        assert sorted(seen) == sorted([salaries["paid"], salaries["own"], salaries["lost"]]), begin


def test_a_search_costs_the_same_however_many_payments_of_bulks_there_are(salaries: dict[str, Any]) -> None:
    client, counts = browser(Role.VIEWER), []
    for _round in range(2):
        for query in (f"q=%2B{LOST}", f"q=%2B{EMPLOYER}"):
            client.get(f"/portal/payments/?{query}")
            with CaptureQueriesContext(connection) as captured:
                client.get(f"/portal/payments/?{query}")
            counts.append(len(captured))
        for _ in range(3):
            asked = messages.bulk_quote(3)
            assert dfsp("POST", "/bulkQuotes", asked, destination="blue").status_code == 202
            given = messages.bulk_terms(asked)
            path = f"/bulkQuotes/{asked['bulkQuoteId']}"
            assert dfsp("PUT", path, given, source="blue", destination="green").status_code == 200
    assert counts[:2] == counts[2:]


def test_a_participant_finds_only_its_own(found: dict[str, str]) -> None:
    for name, count in {"green": 5, "blue": 4, "red": 0}.items():
        client = browser_of(person(Role.PARTICIPANT_VIEWER, name=f"of-{name}", participant=name))
        assert len(rows(client, f"+{NUMBER}")) == count, name
        for path in (f"quotes/{found['refused']}", f"requests/{found['request']}"):
            status = client.get(f"/portal/payments/{path}/").status_code
            assert status == (404 if name == "red" else 200), (name, path)


def test_the_pages_of_attempts_say_their_verdict_first(found: dict[str, str]) -> None:
    client = browser(Role.VIEWER)
    for path, texts in {
        f"quotes/{found['refused']}": [
            "Not paid: the quote was rejected.",
            "Error: 5103 Payee FSP rejected quote: no",
            NUMBER,
            "solar lamp",
        ],
        f"quotes/{found['left']}": ["blue returned its terms, but green sent no transfer.", "blue answered the quote"],
        f"requests/{found['request']}": ["In progress: green has not decided yet.", PAYER],
    }.items():
        page = client.get(f"/portal/payments/{path}/").content.decode()
        for text in texts:
            assert text in page, (path, text)


def test_a_payments_page_says_its_verdict_first_with_the_customers_and_each_steps_time(found: dict[str, str]) -> None:
    page = browser(Role.VIEWER).get(f"/portal/transfers/{found['paid']}/").content.decode()
    assert page.find("Paid: green paid 3.50 TZS to blue.") < page.find("<h2>History</h2>")
    for text in (
        "blue answered the lookup",
        "blue answered the quote",
        "blue received the transfer",
        "blue answered the transfer",
        "green was notified of the outcome",
        "Amina Juma",
        "solar lamp",
        "Copy for the bank",
    ):
        assert text in page, text


def test_a_refusal_says_which_cap_and_how_much_of_it_was_used(committed_world: World) -> None:
    world = committed_world
    run(prepare(world, "green", "blue", 100))
    paid = prepare(world, "green", "blue", 150)
    run(paid)
    run(fulfil(world, "blue", paid.transfer_id))
    refused = prepare(world, "green", "red", 800)
    run(refused)
    green = Participant.objects.get(name="green")
    accounts_and_funds.change_ndc(green, currency="TZS", ndc=50_000_000, alarm_percentage=None, actor="test")
    page = browser(Role.VIEWER).get(f"/portal/transfers/{refused.transfer_id}/").content.decode()
    assert "Not paid: the net debit cap of green was too low." in page
    assert (
        "According to the ledger, the net debit cap of green was 1,000.00 TZS at that time. 250.00 TZS of this cap was "
        "in use: 150.00 TZS posted and 100.00 TZS reserved. 750.00 TZS was free. This payment needed 800.00 TZS."
    ) in page
    payee = browser_of(person(Role.PARTICIPANT_VIEWER, participant="red"))
    page = payee.get(f"/portal/transfers/{refused.transfer_id}/").content.decode()
    assert "250.00" not in page


def verdict_for(client: Client, transfer_id: str) -> str:
    return client.get(f"/portal/transfers/{transfer_id}/").content.decode()


def test_the_refusal_of_a_converted_payment_names_the_fxp_with_the_fxps_figures(committed_world: World) -> None:
    world = open_scheme(committed_world)
    for name, text in (("paid", 3), ("reserved", 5), ("refused", 993)):
        conversion = agreed(world, target=("KES", text))
        transfer_id = conversion.determining_transfer_id
        run(prepare(world, "green", "blue", text, currency="KES", transfer_id=transfer_id))
        if name == "paid":
            run(fulfil(world, "blue", transfer_id))
    assert Transfer.objects.get(pk=transfer_id).reason == "NDC"
    operator = browser(Role.VIEWER)
    page = verdict_for(operator, transfer_id)
    assert "Not paid: the net debit cap of fxp was too low." in page
    assert (
        "According to the ledger, the net debit cap of fxp was 1,000.00 KES at that time. 8.00 KES of this cap was in "
        "use: 3.00 KES posted and 5.00 KES reserved. 992.00 KES was free. This payment needed 993.00 KES."
    ) in page
    assert "of green was too low" not in page
    exported = json.loads(operator.get(f"/portal/transfers/{transfer_id}/payment.json").content)["readable"]
    assert exported["verdict"]["title"] == "Not paid: the net debit cap of fxp was too low."
    payer, payee = (
        browser_of(person(Role.PARTICIPANT_VIEWER, name=f"of-{name}", participant=name)) for name in ("green", "blue")
    )
    page = verdict_for(payer, transfer_id)
    assert "Not paid: the net debit cap of fxp was too low." in page
    assert "According to the ledger" not in page
    page = verdict_for(payee, transfer_id)
    assert "Not paid: the hub refused the payment." in page
    assert "fxp" not in page


def test_the_reserved_amount_of_a_payer_includes_its_conversions(committed_world: World) -> None:
    world = open_scheme(committed_world)
    agreed(world, source=("TZS", 100))
    refused = prepare(world, "green", "blue", 901)
    run(refused)
    page = verdict_for(browser(Role.VIEWER), refused.transfer_id)
    assert "the net debit cap of green was 1,000.00 TZS" in page
    assert "0.00 TZS posted and 100.00 TZS reserved. 900.00 TZS was free." in page


def test_a_refusal_says_how_much_cover_was_free_before_during_and_after_a_hold(committed_world: World) -> None:
    world = committed_world
    set_cap(world, "green", 100_000)

    def refused() -> str:
        command = prepare(world, "green", "red", 6000)
        run(command)
        assert Transfer.objects.get(pk=command.transfer_id).reason == "LIQUIDITY"
        return command.transfer_id

    add_model()
    pay(world, "green", "blue", 100)
    before = refused()
    made = settlement.create(model_name="DEFERREDNET", window_ids=[close()], reason="test", actor="test")
    settlement.advance(made.pk, to=State.PS_TRANSFERS_COMMITTED, reason="test", actor="test")
    on_hold = refused()
    part = withdraw(world, "green", 60, str(made.pk), ends=False)
    unsure = refused()
    said = {"commits": True, "reason": "test", "actor": "test"}
    accounts_and_funds.end_funds_out(world.account("green", "SETTLEMENT"), transfer_id=part, **said)
    paid_in_part = refused()
    withdraw(world, "green", 7, "another", ends=False)
    withdrawing = refused()
    account = world.account("green", "SETTLEMENT")
    accounts_and_funds.release_hold(account, settlement_number=made.pk, reason="cash", actor="test")
    released = refused()

    client = browser(Role.VIEWER)
    for transfer_id, cover, used in (
        (before, "5,000.00", "100.00"),
        (on_hold, "4,900.00", "0.00"),
        (paid_in_part, "4,900.00", "0.00"),
        (withdrawing, "4,893.00", "0.00"),
        (released, "4,933.00", "0.00"),
    ):
        assert (
            f"According to the ledger, the cover of green was {cover} TZS at that time. {used} TZS of this cover was "
            f"in use:"
        ) in verdict_for(client, transfer_id), cover
    # The row of the committed withdrawal does not show when the withdrawal reduced the hold.
    page = verdict_for(client, unsure)
    assert "Not paid: the cover of green was too low." in page
    assert "According to the ledger" not in page


def test_views_are_saved_for_one_user(found: dict[str, str]) -> None:
    owner, other = person(Role.VIEWER), person(Role.VIEWER, name="other")
    client = browser_of(owner)
    for _ in range(2):
        client.post("/portal/payments/views/", {"name": "Agent line", "query": "amount=7&before=x&evil=1"})
    (view,) = SavedView.objects.all()
    assert (view.user, view.name, view.query) == (owner, "Agent line", "amount=7")
    assert "?amount=7" in client.get("/portal/payments/").content.decode()
    stranger = browser_of(other)
    assert "Agent line" not in stranger.get("/portal/payments/").content.decode()
    stranger.post(f"/portal/payments/views/{view.pk}/remove/")
    assert SavedView.objects.exists()
    client.post("/portal/payments/views/", {"name": "", "query": "amount=7"})
    for query in ("amount=seven", f"q=%2B{NUMBER}", f"alias={NUMBER}", f"q={found['paid']}"):
        client.post("/portal/payments/views/", {"name": "x", "query": query})
    assert SavedView.objects.count() == 1
    client.post(f"/portal/payments/views/{view.pk}/remove/")
    assert not SavedView.objects.exists()


def test_the_files_of_a_payment_are_signed_and_a_change_is_found(found: dict[str, str], tmp_path: Path) -> None:
    key = tmp_path / "hub.pem"
    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    key.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    client = browser(Role.VIEWER)
    with override_settings(HUB_SIGNING_KEY_FILE=str(key)):
        for ending in ("json", "pdf"):
            answer = client.get(f"/portal/transfers/{found['paid']}/payment.{ending}")
            assert answer.status_code == 200
            file = tmp_path / f"payment.{ending}"
            file.write_bytes(answer.content)
            call_command("check_payment_file", str(file), stdout=io.StringIO())
            for change in (
                answer.content.replace(b"3.5", b"9.5", 1) if ending == "json" else answer.content[:-900] + b"x" * 900,
                answer.content[:500] + answer.content[501:],
                b"{}",
            ):
                file.write_bytes(change)
                with pytest.raises(CommandError):
                    call_command("check_payment_file", str(file))
        signed = json.loads(client.get(f"/portal/transfers/{found['paid']}/payment.json").content)
    content = json.loads(base64.urlsafe_b64decode(signed["payload"] + "=="))
    assert content["transfer"]["amount"] == "3.5"
    assert content["customers"][1]["name"] == "Amina Juma"
    public = keys_and_certificates.public_pem(private.public_key())
    assert signed["header"]["kid"] == hashlib.sha256(public.encode()).hexdigest()
    assert AuditEntry.objects.filter(action="payment_exported", subject=found["paid"]).count() == 3
    unsigned = client.get(f"/portal/transfers/{found['paid']}/payment.json")
    assert set(json.loads(unsigned.content)) == {"readable"}


PLANNED = [
    ("q=%2B255655001005", ("quote_of_payees_alias", "quote_of_payers_alias", "request_of_payees_alias")),
    ("q=%2B255655001005", ("bulk_item_of_payees_alias", "bulk_item_of_payers_alias")),
    ("q=3b241101-e2bb-4255-8caf-4136c566a962+255655001005", ("quote_by_transaction", "bulk_item_by_transaction")),
    ("q=%2B255655001005+7", ("quote_of_payees_alias",)),
    ("amount=7", ("transfer_by_amount", "quote_failed_by_amount", "quote_by_amount", "request_by_amount")),
    ("amount=7&payer=green", ("transfer_by_amount", "quote_failed_by_amount", "quote_by_amount")),
    ("since=2026-01-01T10:00&payer=green", ("transfer_by_payer", "quote_failed_by_payer", "quote_failed_by_payee")),
    ("since=2026-01-01T10:00&payer=green&kind=request", ("request_by_payer", "request_by_payee")),
    ("since=2026-01-01T10:00", ("transfer_by_arrival", "quote_failed_by_arrival", "request_to_pay_by_arrival")),
]


def test_each_search_reads_an_index(found: dict[str, str], salaries: dict[str, Any]) -> None:
    """The tables are made to look long, so the planner chooses as on a hub with ten million payments."""
    client, faults = browser(Role.VIEWER), []
    with connection.cursor() as cursor:
        _let_tables_look_long(cursor)
        for query, indexes in PLANNED:
            with CaptureQueriesContext(connection) as captured:
                assert client.get(f"/portal/payments/?{query}").status_code == 200
            plans = []
            for statement in captured:
                if statement["sql"].lstrip("( \n").startswith("SELECT"):
                    cursor.execute(f"EXPLAIN {statement['sql']}")
                    plans.append("\n".join(row[0] for row in cursor.fetchall()))
            faults += [(query, index) for index in indexes if not any(f" {index} " in plan for plan in plans)]
            faults += [(query, plan) for plan in plans for table in LONG if f"Seq Scan on {table} " in plan]
    assert faults == []


LONG = (
    "ledger_transfer",
    "quotes_quote",
    "quotes_bulkquote",
    "quotes_bulkquoteitem",
    "quotes_transactionrequest",
    "outbox_delivery",
)


def _let_tables_look_long(cursor: Any) -> None:
    """The planner multiplies the rows of a page by the pages of the file. Autovacuum may have made statistics of this
    test's few rows, which would mislead the planner."""
    cursor.execute("UPDATE pg_class SET reltuples = 10000000, relpages = 1 WHERE relname = ANY(%s)", [list(LONG)])
    cursor.execute("DELETE FROM pg_statistic WHERE starelid = ANY(%s::regclass[])", [list(LONG)])


def test_a_search_costs_the_same_whatever_there_is(found: dict[str, str], committed_world: World) -> None:
    client, counts = browser(Role.VIEWER), []
    for _round in range(2):
        for query in (f"q=%2B{NUMBER}", "amount=7"):
            client.get(f"/portal/payments/?{query}")
            with CaptureQueriesContext(connection) as captured:
                client.get(f"/portal/payments/?{query}")
            counts.append(len(captured))
        for _ in range(5):
            refuse(ask("7"))
    assert counts[:2] == counts[2:]
    assert Quote.objects.count() == 13
    assert Transfer.objects.count() == 1
