"""Bulks by the reference client's APIs: bulk quotes and bulk transfers, and bulks of payments."""

import threading
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from fspiop.time import format_datetime
from tests.reference.core import NO_TERMS, REFUSED, terms
from tests.reference.world import ASHA, BARAKA, GHOST, World, to, until

pytestmark = pytest.mark.live


def quotes(*amounts: str, **changes: Any) -> dict[str, Any]:
    items = [
        {
            "quoteId": str(uuid.uuid4()),
            "to": to(BARAKA, fspId="blue"),
            "amountType": "SEND",
            "currency": "TZS",
            "amount": amount,
            "transactionType": "TRANSFER",
            "note": f"pays {amount}",
        }
        for amount in amounts
    ]
    return {
        "homeTransactionId": "payroll",
        "bulkQuoteId": str(uuid.uuid4()),
        "from": to(ASHA, displayName="Asha"),
        "individualQuotes": items,
    } | changes


def transfers(wanted: dict[str, Any], offered: dict[str, Any], **changes: Any) -> dict[str, Any]:
    items = [
        {
            "transferId": str(uuid.uuid4()),
            "to": to(BARAKA, fspId="blue"),
            "amountType": "SEND",
            "currency": "TZS",
            "amount": result["transferAmount"]["amount"],
            "transactionType": "TRANSFER",
            "ilpPacket": result["ilpPacket"],
            "condition": result["condition"],
        }
        for result in offered["individualQuoteResults"]
        if "condition" in result
    ]
    return {
        "bulkTransferId": str(uuid.uuid4()),
        "homeTransactionId": "payroll",
        "bulkQuoteId": wanted["bulkQuoteId"],
        "from": to(ASHA),
        "individualTransfers": items,
    } | changes


def test_a_bulk_is_quoted_and_paid_item_by_item(world: World) -> None:
    wanted = quotes("10", "20", NO_TERMS, REFUSED)
    answer = world.green.call("POST", "/bulkQuotes", wanted)
    assert (answer.status, answer.body["currentState"]) == (200, "COMPLETED"), answer
    results = answer.body["individualQuoteResults"]
    assert [result.get("payeeFspFee", {}).get("amount") for result in results] == ["1", "1", None, "1"]
    assert code_of(results[2]) == "5101"
    again = world.green.call("POST", "/bulkQuotes", wanted)  # as after a crash: the same request to the hub
    assert (again.status, again.body["individualQuoteResults"]) == (200, results), again
    other = world.green.call("POST", "/bulkQuotes", wanted | {"homeTransactionId": "another"})
    assert (other.status, other.body["statusCode"]) == (400, "3106"), other
    again = world.green.call("GET", f"/bulkQuotes/{wanted['bulkQuoteId']}")
    assert (again.status, again.body["individualQuoteResults"]) == (200, results), again

    before = world.position("green"), world.position("blue")
    sent = transfers(wanted, answer.body)
    for _ in range(2):
        found = world.green.call("POST", "/bulkTransfers", sent)
        assert (found.status, found.body["currentState"]) == (200, "COMPLETED"), found
    ends = [result["transferState"] for result in found.body["individualTransferResults"]]
    assert ends == ["COMMITTED", "COMMITTED", "ABORTED"]
    assert found.body["individualTransferResults"][2]["lastError"]["mojaloopError"]["errorInformation"]
    assert (world.position("green") - before[0], world.position("blue") - before[1]) == (30, -30)
    assert len(world.blue.core.bodies("POST", "/bulkTransfers")) == 1
    (told,) = world.blue.core.bodies("POST", "/bulkTransfers")
    assert (told["from"]["displayName"], len(told["individualTransfers"])) == ("Asha", 3)
    shown = world.green.call("GET", f"/bulkTransfers/{sent['bulkTransferId']}")
    assert (shown.status, shown.body["currentState"]) == (200, "COMPLETED")
    # blue's core hears of each end.
    first, second, _ = (item["transferId"] for item in sent["individualTransfers"])
    for transfer_id in (first, second):
        assert until(lambda transfer_id=transfer_id: world.blue.core.bodies("PUT", f"/transfers/{transfer_id}"))
    # The same terms pay once.
    other = transfers(wanted, answer.body)
    found = world.green.call("POST", "/bulkTransfers", other)
    assert [r["transferState"] for r in found.body["individualTransferResults"]] == ["ABORTED"] * 3, found
    assert world.position("green") - before[0] == 30


def test_bulks_that_are_refused_say_why(world: World) -> None:
    answer = world.green.call("POST", "/bulkQuotes", quotes("10", individualQuotes=[]))
    assert (answer.status, answer.body["bulkQuoteState"]) == (400, {}), answer
    mixed = quotes("10", "20")
    mixed["individualQuotes"][1]["to"]["fspId"] = "fxp"
    assert world.green.call("POST", "/bulkQuotes", mixed).status == 400
    world.blue.core.fails["POST /bulkQuotes"] = _refuses
    answer = world.green.call("POST", "/bulkQuotes", quotes("10"))
    assert (answer.status, answer.body["statusCode"]) == (500, "5103"), answer
    assert answer.body["bulkQuoteState"]["currentState"] == "ERROR_OCCURRED"
    assert world.green.call("GET", f"/bulkQuotes/{uuid.uuid4()}").body["statusCode"] == "3209"

    world.blue.core.fails.clear()
    wanted = quotes("10", "20")
    offered = world.green.call("POST", "/bulkQuotes", wanted).body
    before = world.position("green")
    world.blue.core.fails["POST /bulkTransfers"] = _refuses
    sent = transfers(wanted, offered)
    answer = world.green.call("POST", "/bulkTransfers", sent)
    ends = [r["transferState"] for r in answer.body.get("individualTransferResults", [])]
    assert answer.status == 500 or ends == ["ABORTED", "ABORTED"], answer
    answer = world.green.call("POST", "/bulkTransfers", transfers(wanted, offered, individualTransfers=[]))
    assert (answer.status, answer.body["bulkTransferState"]) == (400, {}), answer
    assert world.green.call("GET", f"/bulkTransfers/{uuid.uuid4()}").body["statusCode"] == "3210"
    assert world.position("green") == before


def _refuses() -> Any:
    from tests.reference.core import no

    return no(500, "5103", "the payee's DFSP wants no bulks")


@pytest.mark.parametrize("has_it", [True, False])
def test_a_bulk_survives_a_crash_of_both_sides(world: World, has_it: bool) -> None:
    """The core may have had the bulk before the crash, so it is asked before it gets the bulk again."""
    core = world.blue.core
    wanted = quotes("10", "20")
    offered = world.green.call("POST", "/bulkQuotes", wanted).body
    before = world.position("green")
    sent = transfers(wanted, offered)
    path = f"/bulkTransfers/{sent['bulkTransferId']}"
    if has_it:
        core.bulks[sent["bulkTransferId"]] = {"homeTransactionId": "h", "individualTransferResults": []}
    core.fails["POST /bulkTransfers"] = core.fails["GET /bulkTransfers"] = _crashes
    world.green.set(answer_s=0.5)
    try:
        answer = world.green.call("POST", "/bulkTransfers", sent)
        assert (answer.status, answer.body["statusCode"]) == (504, "2004"), answer
        assert until(lambda: core.bodies("POST", "/bulkTransfers"))
        world.green.restart()
        world.blue.restart()
        core.calls.clear()
        core.fails.clear()
    finally:
        world.green.set(answer_s=25.0)
    answer = world.green.call("POST", "/bulkTransfers", sent)
    assert (answer.status, answer.body["currentState"]) == (200, "COMPLETED"), answer
    assert world.position("green") - before == 30
    assert ("GET", path, None) in core.calls
    assert len(core.bodies("POST", "/bulkTransfers")) == (0 if has_it else 1)


@pytest.mark.parametrize("has_it", [True, False])
def test_terms_of_a_bulk_are_given_over_a_crash(world: World, has_it: bool) -> None:
    core = world.blue.core
    wanted = quotes("10")
    (item,) = wanted["individualQuotes"]
    path = f"/bulkQuotes/{wanted['bulkQuoteId']}"
    if has_it:
        result = {"quoteId": item["quoteId"], **terms(item)}
        core.bulks[wanted["bulkQuoteId"]] = {"bulkQuoteId": "b", "individualQuoteResults": [result]}
    core.fails["POST /bulkQuotes"] = core.fails["GET /bulkQuotes"] = _crashes
    answers: list[Any] = []
    asking = threading.Thread(target=lambda: answers.append(world.green.call("POST", "/bulkQuotes", wanted)))
    asking.start()
    assert until(lambda: core.bodies("POST", "/bulkQuotes"))
    world.blue.restart()
    core.calls.clear()
    core.fails.clear()
    asking.join(30)
    assert answers[0].status == 200, answers
    assert ("GET", path, None) in core.calls
    assert len(core.bodies("POST", "/bulkQuotes")) == (0 if has_it else 1)


def _crashes() -> Any:
    from aiohttp import web

    return web.Response(status=503)


# --- bulks of payments ------------------------------------------------------------------------------------------------


def party(value: str) -> dict[str, Any]:
    return {"partyIdInfo": {"partyIdType": "MSISDN", "partyIdentifier": value}}


def bulk(*items: tuple[str, str], party_ok: bool = True, terms_ok: bool = True, **options: Any) -> dict[str, Any]:
    return {
        "bulkHomeTransactionID": "payroll",
        "bulkTransactionId": str(uuid.uuid4()),
        "options": {
            "autoAcceptParty": {"enabled": party_ok},
            "autoAcceptQuote": {"enabled": terms_ok},
            "bulkExpiration": format_datetime(datetime.now(UTC) + timedelta(minutes=5)),
        }
        | options,
        "from": party(ASHA),
        "individualTransfers": [
            {
                "homeTransactionId": f"item-{number}",
                "to": party(value),
                "amountType": "SEND",
                "currency": "TZS",
                "amount": amount,
            }
            for number, (value, amount) in enumerate(items)
        ],
    }


def stops(world: World, wanted: dict[str, Any], count: int) -> dict[str, Any]:
    """What green's core was told at the bulk's latest stop, once there are so many."""
    path = f"/bulkTransactions/{wanted['bulkTransactionId']}"
    told = until(lambda: (found := world.green.core.bodies("PUT", path))[count - 1 :] and found)
    assert told, world.green.core.calls[-3:]
    assert len(told) == count
    return dict(told[-1])


def code_of(shown: dict[str, Any]) -> str:
    return str(shown["lastError"]["mojaloopError"]["errorInformation"]["errorCode"])


def results(told: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {found["homeTransactionId"]: found for found in told["individualTransferResults"]}


def test_a_bulk_of_payments_is_paid_and_the_core_is_told(world: World) -> None:
    before = world.position("green")
    wanted = bulk((BARAKA, "10"), (GHOST, "20"), (BARAKA, REFUSED), (BARAKA, "40"))
    for _ in range(2):
        assert world.green.call("POST", "/bulkTransactions", wanted).status == 202
    told = stops(world, wanted, 1)
    assert told["currentState"] == "COMPLETED"
    found = results(told)
    states = {name: item.get("fulfil", {}).get("transferState") for name, item in found.items()}
    assert states == {"item-0": "COMMITTED", "item-1": None, "item-2": "ABORTED", "item-3": "COMMITTED"}
    codes = [
        item["lastError"]["mojaloopError"]["errorInformation"]["errorCode"]
        for item in found.values()
        if "lastError" in item
    ]
    assert codes == ["3204", "5001"]
    assert world.position("green") - before == 50


def test_a_synchronous_bulk_is_answered_when_it_has_stopped(world: World) -> None:
    wanted = bulk((BARAKA, "10"), (GHOST, "20"), terms_ok=False, synchronous=True)
    path = f"/bulkTransactions/{wanted['bulkTransactionId']}"
    answer = world.green.call("POST", "/bulkTransactions", wanted)
    assert (answer.status, answer.body["currentState"]) == (202, "WAITING_FOR_QUOTE_ACCEPTANCE"), answer
    assert code_of(results(answer.body)["item-1"]) == "3204"
    accepted = [{"transferId": results(answer.body)["item-0"]["transferId"], "acceptQuote": True}]
    assert world.green.call("PUT", path, {"individualTransfers": accepted}).status == 202
    told = stops(world, wanted, 2)  # the core is told of both stops all the same
    assert told["currentState"] == "COMPLETED"
    assert world.green.call("POST", "/bulkTransactions", wanted).body == told
    answer = world.green.call("POST", "/bulkTransactions", bulk((GHOST, "20"), synchronous=True))
    assert (answer.status, answer.body["currentState"]) == (202, "ERROR_OCCURRED"), answer


def test_a_bulk_of_payments_stops_for_payees_and_terms_over_crashes(world: World) -> None:
    before = world.position("green")
    wanted = bulk((BARAKA, "10"), (BARAKA, "20"), (BARAKA, "40"), party_ok=False, terms_ok=False)
    path = f"/bulkTransactions/{wanted['bulkTransactionId']}"
    assert world.green.call("POST", "/bulkTransactions", wanted).status == 202
    told = stops(world, wanted, 1)
    assert told["currentState"] == "WAITING_FOR_PARTY_ACCEPTANCE"
    assert results(told)["item-0"]["to"]["partyIdInfo"]["fspId"] == "blue"
    world.green.restart()
    ids = [found["transferId"] for found in told["individualTransferResults"]]
    body = {"individualTransfers": [{"transferId": i, "acceptParty": n != 1} for n, i in enumerate(ids)]}
    assert world.green.call("PUT", path, body).status == 202
    told = stops(world, wanted, 2)
    assert told["currentState"] == "WAITING_FOR_QUOTE_ACCEPTANCE"
    world.green.restart()
    body = {"individualTransfers": [{"transferId": i, "acceptQuote": True} for i in (ids[0], ids[2])]}
    assert world.green.call("PUT", path, body).status == 202
    told = stops(world, wanted, 3)
    assert told["currentState"] == "COMPLETED"
    assert world.position("green") - before == 50


def test_a_fee_above_the_limit_and_a_bulk_that_came_too_late_pay_nothing(world: World) -> None:
    before = world.position("green")
    limits = {"enabled": True, "perTransferFeeLimits": [{"currency": "TZS", "amount": "0.5"}]}
    wanted = bulk((BARAKA, "10"), autoAcceptQuote=limits)
    world.green.call("POST", "/bulkTransactions", wanted)
    assert stops(world, wanted, 1)["currentState"] == "ERROR_OCCURRED"
    wanted = bulk((BARAKA, "10"), bulkExpiration="2020-01-01T00:00:00.000Z")
    world.green.call("POST", "/bulkTransactions", wanted)
    told = stops(world, wanted, 1)
    assert code_of(results(told)["item-0"]) == "3300"
    wanted = bulk((BARAKA, "10"), onlyValidateParty=True)
    world.green.call("POST", "/bulkTransactions", wanted)
    told = stops(world, wanted, 1)
    assert results(told)["item-0"]["to"]["partyIdInfo"]["fspId"] == "blue"
    assert world.position("green") == before


def test_bulks_of_payments_that_are_wrong(world: World) -> None:
    answer = world.green.call("POST", "/bulkTransactions", bulk())
    assert (answer.status, answer.body["bulkTransferState"]) == (400, {})
    twice = bulk((BARAKA, "10"), (BARAKA, "20"))
    twice["individualTransfers"][1]["homeTransactionId"] = "item-0"
    assert world.green.call("POST", "/bulkTransactions", twice).status == 400
    nobody = {"individualTransfers": [{"transferId": str(uuid.uuid4()), "acceptParty": True}]}
    answer = world.green.call("PUT", f"/bulkTransactions/{uuid.uuid4()}", nobody)
    assert (answer.status, answer.body["statusCode"]) == (500, "3210")
    wanted = bulk((BARAKA, "10"), party_ok=False)
    world.green.call("POST", "/bulkTransactions", wanted)
    stops(world, wanted, 1)
    answer = world.green.call("PUT", f"/bulkTransactions/{wanted['bulkTransactionId']}", nobody)
    assert answer.status == 400, answer
