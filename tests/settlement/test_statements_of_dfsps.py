"""What a DFSP's own statement says of conversions, funds and settlements, in the books of each side of a payment."""

import csv
import io
import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection, transaction

from hub.sql_execution import found_by_keys
from kitovu_connector.hub_and_dfsp_books import AtHub, Here, compare_books
from kitovu_connector.hub_api import ConversionLine, Line, Posting, SettlementPart
from kitovu_connector.reconciliation_differences import Result, Side
from ledger.dfsp_api import statement
from settlement import gross_settlement
from settlement.dfsp_api import own_settlements
from tests.api.caller import dfsp, error_of
from tests.fx_world import fx_prepare, open_scheme, positions, run
from tests.settlement.operator_steps import add_model, close, pay, settle, settle_all
from tests.settlement.test_conversions import AT_ONCE, pay_converted
from tests.world import World

PLAIN: dict[str, str | None] = {"content-type": "application/json", "accept": "application/json"}
ALWAYS = {"begin": "2020-01-01T00:00:00.000Z", "since": "2020-01-01T00:00:00.000Z", "until": "2099-01-01T00:00:00.000Z"}


def ask(path: str, source: str) -> Any:
    answer = dfsp("GET", f"/dfsp/v1/{path}", source=source, headers=PLAIN)
    assert answer.status_code == 200, answer.content
    return json.loads(answer.content)


def pages(source: str, limit: int = 100) -> Iterator[Any]:
    query = f"statement?limit={limit}"
    for _ in range(50):
        page = ask(query, source)
        yield page
        if "next" not in page:
            return
        query = f"statement?limit={limit}&after={page['next']}"
    raise AssertionError("a statement without an end")


def all_of(source: str, kind: str, limit: int = 100) -> list[Any]:
    return [line for page in pages(source, limit) for line in page.get(kind, [])]


def at_hub(source: str) -> AtHub:
    """The hub's side, as the connector reads it."""
    import msgspec

    found = AtHub()
    for line in msgspec.convert(all_of(source, "transfers"), list[Line]):
        found.transfers[line.transfer_id, line.direction] = line
    for conversion in msgspec.convert(all_of(source, "conversions"), list[ConversionLine]):
        found.conversions[conversion.commit_request_id, conversion.role] = conversion
    found.postings.extend(msgspec.convert(all_of(source, "postings"), list[Posting]))
    parts = msgspec.convert(ask("settlements", source)["settlements"], list[SettlementPart])
    found.settlements.extend(parts)
    return found


def same_books(hub: AtHub) -> Here:
    """A connector's records that equal the hub's."""
    here = Here()
    for key, line in hub.transfers.items():
        here.transfers[key] = Side(line.state, line.amount, line.currency, line.received_date)
    for key, conversion in hub.conversions.items():
        here.conversions[key] = {
            "role": conversion.role,
            "state": conversion.state,
            "sourceAmount": conversion.source_amount,
            "sourceCurrency": conversion.source_currency,
            "targetAmount": conversion.target_amount,
            "targetCurrency": conversion.target_currency,
            "createdDate": conversion.received_date,
            "expirationDate": conversion.received_date,
        }
    return here


@pytest.fixture
def scheme(world: World) -> World:
    assert add_model().status_code == 201
    return open_scheme(world)


def test_each_side_of_a_conversion_finds_it_once_and_with_its_own_role(scheme: World) -> None:
    pay_converted(scheme)
    for name, role in (("green", "INITIATOR"), ("fxp", "FXP")):
        (line,) = all_of(name, "conversions")
        assert (line["role"], line["side"], line["state"]) == (role, "PAYER", "COMMITTED")
        assert (line["initiatingFsp"], line["counterPartyFsp"]) == ("green", "fxp")
        assert (line["sourceAmount"], line["sourceCurrency"]) == ("100", "TZS")
        assert (line["targetAmount"], line["targetCurrency"]) == ("5", "KES")
        assert line["windowId"] >= 1
    assert all_of("blue", "conversions") == []
    (sent,), (received,) = all_of("green", "transfers"), all_of("blue", "transfers")
    assert sent["isConverted"]  # green's position in KES has not changed
    assert "isConverted" not in received
    assert all_of("fxp", "transfers") == []
    # What was refused on arrival was never sent to the FXP.
    refused = fx_prepare(scheme, str(uuid.uuid4()), source=("TZS", 10**9))
    run(refused)
    assert [line["state"] for line in all_of("green", "conversions")] == ["COMMITTED", "ABORTED"]
    assert len(all_of("fxp", "conversions")) == 1


def test_funds_and_settlements_are_postings_of_the_own_accounts(scheme: World) -> None:
    opening = all_of("blue", "postings")
    assert {(line["kind"], line["debitAccount"], line["creditAccount"]) for line in opening} == {
        ("FUNDS_IN", "HUB", "SETTLEMENT")
    }
    pay_converted(scheme)
    pay(scheme, "green", "blue", 30)
    settlement = settle(close())
    parts = {(part["currency"], part["net"]) for part in ask("settlements", "fxp")["settlements"]}
    assert parts == {("TZS", "-100"), ("KES", "5")}
    settle_all(settlement)
    found = {(line["kind"], line["amount"], line["currency"]) for line in all_of("fxp", "postings")}
    assert found >= {("NET_RECIPIENT", "100", "TZS"), ("NET_SENDER", "5", "KES")}
    for part in ask("settlements", "green")["settlements"]:
        assert (part["settlementId"], part["state"]) == (settlement["id"], "SETTLED")
        assert part["windowIds"] == [all_of("green", "transfers")[0]["windowId"]]
        (posting,) = (line for line in all_of("green", "postings") if line["transferId"] == part["transferId"])
        assert posting["amount"] == part["net"].removeprefix("-")


def test_a_commit_that_is_settled_at_once_is_one_line_of_each_side(scheme: World) -> None:
    assert add_model("CGS", **AT_ONCE, currency="TZS").status_code == 201
    transfer_id = pay(scheme, "green", "blue", 30)
    assert gross_settlement.settle_new_commits() == 1
    for name, kind, accounts in (
        ("green", "GROSS_PAYER", ("SETTLEMENT", "POSITION")),
        ("blue", "GROSS_PAYEE", ("POSITION", "SETTLEMENT")),
    ):
        (line,) = (line for line in all_of(name, "postings") if line["kind"].startswith("GROSS_"))
        assert (line["transferId"], line["kind"]) == (transfer_id, kind)
        assert (line["debitAccount"], line["creditAccount"]) == accounts


@pytest.mark.parametrize("limit", [1, 2, 3])
def test_pages_have_each_line_once_whatever_its_kind(scheme: World, limit: int) -> None:
    pay_converted(scheme)
    pay(scheme, "green", "blue", 30)
    settle_all(settle(close()))
    for name in ("green", "fxp"):
        for kind in ("transfers", "conversions", "postings"):
            assert all_of(name, kind, limit) == all_of(name, kind), (name, kind)
        assert all(
            sum(len(page.get(kind, [])) for kind in ("transfers", "conversions", "postings")) <= limit
            for page in pages(name, limit)
        )


def test_the_file_has_a_line_of_every_kind(scheme: World) -> None:
    pay_converted(scheme)
    answer = dfsp("GET", "/dfsp/v1/statement?format=csv", source="green", headers=PLAIN)
    rows = list(csv.DictReader(io.StringIO(answer.content.decode())))
    assert {row["kind"] for row in rows} == {"FUNDS_IN", "CONVERSION", "TRANSFER"}
    (conversion,) = (row for row in rows if row["kind"] == "CONVERSION")
    assert (conversion["amount"], conversion["currency"]) == ("100", "TZS")
    assert (conversion["targetAmount"], conversion["targetCurrency"]) == ("5", "KES")


_CONVERSIONS_OF_OTHERS = """
    INSERT INTO ledger_fxtransfer
    SELECT copy.*
    FROM (SELECT to_jsonb(f) AS one FROM ledger_fxtransfer f LIMIT 1) f CROSS JOIN generate_series(1, 3000) n
    CROSS JOIN LATERAL jsonb_populate_record(NULL::ledger_fxtransfer, f.one || jsonb_build_object(
        'commit_request_id', 'c' || n, 'determining_transfer_id', 't' || n,
        'initiator_id', %s, 'fxp_id', %s)) copy
"""


def test_every_part_of_a_page_is_found_by_an_index(scheme: World) -> None:
    pay_converted(scheme)
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute(_CONVERSIONS_OF_OTHERS, [scheme.ids["red"], scheme.ids["grey"]])
        cursor.execute("SET LOCAL session_replication_role = origin")
        cursor.execute("ANALYZE ledger_fxtransfer")
    since = own_settlements._FIRST
    parameters = {"own": scheme.ids["green"], "at": since, "key": "", "to": own_settlements._LAST, "size": 100}
    plan = "\n".join(row[0] for row in found_by_keys("EXPLAIN " + statement._PAGE, parameters))
    for index in ("fx_transfer_by_initiator", "fx_transfer_by_fxp", "entry_other_by_debit", "entry_other_by_credit"):
        assert index in plan, plan
    assert "Seq Scan on ledger_entry" not in plan, plan


@pytest.mark.parametrize(
    "query", ["settlements?limit=0", "settlements?after=x", "settlements?from=today", "settlements?of=1"]
)
def test_a_wrong_query_is_refused(scheme: World, query: str) -> None:
    answer = dfsp("GET", f"/dfsp/v1/{query}", source="green", headers=PLAIN)
    assert error_of(answer)[0] == 400


# --- the comparison ---------------------------------------------------------------------------------------------------


def test_equal_books_have_no_difference_on_any_side_of_a_conversion(scheme: World) -> None:
    pay_converted(scheme)
    pay(scheme, "green", "blue", 30)
    pay(scheme, "blue", "green", 7)
    settle_all(settle(close()))
    assert positions(scheme) == {}
    for name in ("green", "blue", "fxp"):
        hub = at_hub(name)
        books = compare_books(hub, same_books(hub), None, **ALWAYS)
        results = {(part, compared.result) for part, compared in books.all()}
        assert results <= {
            *((part, Result.EQUAL) for part in ("transfers", "conversions", "settlements")),
            ("funds", Result.UNCHECKED),
        }, (name, books)
        assert books.settlements, name


def test_each_planted_difference_is_named(scheme: World) -> None:
    pay_converted(scheme)
    paid = pay(scheme, "green", "blue", 30)
    settle_all(settle(close()))
    hub = at_hub("green")
    funds = [
        {"reference": posting.reference, "direction": "IN", "amount": posting.amount, "currency": posting.currency}
        for posting in hub.postings
        if posting.kind == "FUNDS_IN"
    ]

    def faults(here: Here, own_funds: list[dict[str, str]]) -> set[tuple[str, Result]]:
        books = compare_books(hub, here, own_funds, **ALWAYS)
        return {(part, compared.result) for part, compared in books.all() if compared.result is not Result.EQUAL}

    assert faults(same_books(hub), funds) == set()
    # the conversion: another amount, another end, missing on one side
    (key,) = hub.conversions
    here = same_books(hub)
    here.conversions[key] = {**here.conversions[key], "sourceAmount": "101"}
    assert faults(here, funds) == {("conversions", Result.AMOUNTS_DIFFER), ("settlements", Result.AMOUNTS_DIFFER)}
    here.conversions[key] = {**same_books(hub).conversions[key], "state": "ABORTED"}
    assert faults(here, funds) == {("conversions", Result.STATES_DIFFER)}
    del here.conversions[key]
    assert ("conversions", Result.NOT_HERE) in faults(here, funds)
    here = same_books(hub)
    here.conversions["another", "INITIATOR"] = here.conversions[key]
    assert faults(here, funds) == {("conversions", Result.NOT_AT_HUB)}
    # a transfer, which a settlement counts too
    here = same_books(hub)
    here.transfers[paid, "OUT"] = Side("COMMITTED", "31", "TZS", "2026-01-01T00:00:00.000Z")
    assert faults(here, funds) == {("transfers", Result.AMOUNTS_DIFFER), ("settlements", Result.AMOUNTS_DIFFER)}
    # funds
    other = [{**funds[0], "amount": "1"}, *funds[1:]]
    assert faults(same_books(hub), other) == {("funds", Result.AMOUNTS_DIFFER)}
    assert faults(same_books(hub), funds[1:]) == {("funds", Result.NOT_HERE)}
    more = {"reference": "unknown", "direction": "OUT", "amount": "5", "currency": "TZS"}
    assert faults(same_books(hub), [*funds, more]) == {("funds", Result.NOT_AT_HUB)}


def test_a_settlement_of_windows_that_began_earlier_is_not_judged(scheme: World) -> None:
    pay(scheme, "green", "blue", 30)
    settle_all(settle(close()))
    hub = at_hub("green")
    (part,) = hub.settlements
    found = compare_books(hub, Here(), None, **(ALWAYS | {"begin": "2098-01-01T00:00:00.000Z"}))
    assert [compared.result for compared in found.settlements] == [Result.UNCHECKED]
    assert part.net == "30"


def test_what_was_settled_at_once_is_compared_with_its_transfer(scheme: World) -> None:
    assert add_model("CGS", **AT_ONCE, currency="TZS").status_code == 201
    paid = pay(scheme, "green", "blue", 30)
    gross_settlement.settle_new_commits()
    hub = at_hub("blue")
    assert [each.result for each in compare_books(hub, same_books(hub), None, **ALWAYS).settlements] == [Result.EQUAL]
    here = same_books(hub)
    here.transfers[paid, "IN"] = Side("COMMITTED", "29", "TZS", "2026-01-01T00:00:00.000Z")
    (found,) = compare_books(hub, here, None, **ALWAYS).settlements
    assert found.result is Result.AMOUNTS_DIFFER
