"""The connector's real answers have the statuses, required members, types and enumerations of the SDK's document.

Every answer in the tests of this folder is compared with the table (`Dfsp.call`). Here one test makes every call, once
with success and once with an error.
"""

import uuid
from typing import Any

import pytest

from tests.reference import answers
from tests.reference.answers import ANSWERS, Schema, fault_of
from tests.reference.core import NO_TERMS, REFUSED
from tests.reference.operations import FRONT_END
from tests.reference.test_bulks import bulk, quotes, transfers
from tests.reference.test_conversions import fx_quote, fx_transfer
from tests.reference.test_requests_to_pay import payment, wanted
from tests.reference.test_transfers import quote_wanted, simple_transfer
from tests.reference.world import BARAKA, GHOST, World, to, transfer

LIVE = pytest.mark.live


def test_the_table_has_each_operation_and_each_has_an_answer_of_success_and_of_error() -> None:
    assert set(ANSWERS) == set(FRONT_END)
    for operation, found in ANSWERS.items():
        assert {status < 400 for status in found} == {True, False}, operation
        assert answers.operation_of(*operation.split(" ")) == operation


# --- the check itself -------------------------------------------------------------------------------------------------

EXAMPLES = {
    answers.ID["pattern"]: "b51ec534-ee48-4575-b6a9-ead2955b8069",
    answers.AMOUNT["pattern"]: "12.5",
    answers.MOMENT["pattern"]: "2026-01-31T00:00:00.000Z",
    answers.HASH["pattern"]: "x" * 43,
    answers.PACKET["pattern"]: "AAAA",
    r"^\d{4}$": "3100",
    r"^[1-9]\d{3}$": "3100",
}


def example(schema: Schema) -> Any:
    """The smallest value that fits."""
    if "enum" in schema:
        return schema["enum"][0]
    if "oneOf" in schema:
        return example(schema["oneOf"][0])
    kind = schema.get("type")
    if kind == "object":
        return {name: example(schema["properties"][name]) for name in schema.get("required", ())}
    if kind == "array":
        return [example(schema["items"]) for _ in range(schema["minItems"])]
    if kind == "string":
        return EXAMPLES[schema["pattern"]] if "pattern" in schema else "x"
    return {"integer": 1, "boolean": True}.get(kind) if isinstance(kind, str) else None


@pytest.mark.parametrize("operation", ANSWERS)
def test_an_answer_without_a_required_member_or_with_another_value_is_found(operation: str) -> None:
    for status, schema in ANSWERS[operation].items():
        right = example(schema)
        assert fault_of(operation, status, right) is None
        if schema.get("type") != "object":
            assert fault_of(operation, status, "text") is not None
            continue
        for name in schema["required"]:
            assert fault_of(operation, status, {key: right[key] for key in right if key != name}) is not None
            assert fault_of(operation, status, right | {name: 5}) is not None
        assert fault_of(operation, status, right | {"currentState": "DONE"}) is not None or "currentState" not in right
    assert fault_of(operation, 418, {}) is not None


# --- the connector ----------------------------------------------------------------------------------------------------


@LIVE
def test_each_call_is_answered_as_the_document_has_it(world: World) -> None:
    green, blue, nobody = world.green, world.blue, uuid.uuid4()
    green.call("GET", "/")
    green.call("GET", "/", headers={"Origin": "https://a.page.example"})

    accounts = [
        {"idType": "BUSINESS", "idValue": "stall", "idSubValue": "1"},
        {"idType": "BUSINESS", "idValue": "stall"},
    ]
    blue.call("POST", "/accounts", accounts)
    blue.call("POST", "/accounts", [{"idType": "BUSINESS"}])
    for path in ("/BUSINESS/stall/1", "/BUSINESS/stall"):
        green.call("GET", f"/parties{path}")
        for _ in range(2):
            blue.call("DELETE", f"/accounts{path}")
        green.call("GET", f"/parties{path}")

    paid = green.call("POST", "/transfers", transfer()).body
    green.call("GET", f"/transfers/{paid['transferId']}")
    green.call("PUT", f"/transfers/{paid['transferId']}", {"acceptQuote": True})
    green.call("POST", "/transfers", transfer(to=to(GHOST)))
    for method, body in (("GET", None), ("PUT", {"acceptQuote": True})):
        green.call(method, f"/transfers/{nobody}", body)

    quoted = quote_wanted()
    offer = green.call("POST", "/quotes", quoted).body["quotes"]["body"]
    green.call("POST", "/quotes", quote_wanted(amount={"currency": "TZS", "amount": NO_TERMS}))
    green.call("POST", "/simpleTransfers", simple_transfer(quoted, offer))
    green.call("POST", "/simpleTransfers", {})

    asked = quotes("10", NO_TERMS)
    terms = green.call("POST", "/bulkQuotes", asked).body
    green.call("POST", "/bulkQuotes", quotes("10", individualQuotes=[]))
    sent = transfers(asked, terms)
    green.call("POST", "/bulkTransfers", sent)
    green.call("POST", "/bulkTransfers", transfers(asked, terms, individualTransfers=[]))
    for path, found in (("/bulkQuotes", asked["bulkQuoteId"]), ("/bulkTransfers", sent["bulkTransferId"])):
        green.call("GET", f"{path}/{found}")
        green.call("GET", f"{path}/{nobody}")

    many = bulk((BARAKA, "10"), terms_ok=False, synchronous=True)
    shown = green.call("POST", "/bulkTransactions", many).body
    accepted = [{"transferId": item["transferId"], "acceptQuote": True} for item in shown["individualTransferResults"]]
    green.call("PUT", f"/bulkTransactions/{many['bulkTransactionId']}", {"individualTransfers": accepted})
    green.call("PUT", f"/bulkTransactions/{nobody}", {"individualTransfers": accepted})
    green.call("POST", "/bulkTransactions", bulk())

    world.blue.set(auto_accept_r2p_party=False)
    try:
        request_id = blue.call("POST", "/requestToPay", wanted()).body["transactionRequestId"]
        blue.call("PUT", f"/requestToPay/{request_id}", {"acceptParty": True})
    finally:
        world.blue.set(auto_accept_r2p_party=True)
    blue.call("PUT", f"/requestToPay/{nobody}", {"acceptParty": True})
    blue.call("POST", "/requestToPay", wanted(amount=REFUSED))
    green.call("POST", "/requestToPayTransfer", payment(request_id))
    green.call("PUT", f"/requestToPayTransfer/{request_id}", {"acceptQuote": True})
    green.call("PUT", f"/requestToPayTransfer/{nobody}", {"acceptQuote": True})
    green.call("POST", "/requestToPayTransfer", payment(request_id, amount="1,5"))

    green.call("GET", "/services/FXP")
    green.call("GET", "/services/FXP", headers={"Origin": "https://a.page.example"})
    green.call("GET", "/services/FXP/TZS/KES")
    green.call("GET", "/services/FXP/TZS/NOTHING")
    conversion = green.call("POST", "/fxQuotes", fx_quote()).body
    green.call("POST", "/fxQuotes", fx_quote(initiatingFsp="blue"))
    green.call("POST", "/fxTransfers", fx_transfer(conversion))
    green.call("POST", "/fxTransfers", fx_transfer(conversion, condition="x"))

    calls = [call for dfsp in (green, blue) for call in dfsp.answered]
    compared = {(answers.operation_of(method, path), status < 400) for method, path, status in calls}
    assert compared == {(operation, succeeds) for operation in ANSWERS for succeeds in (True, False)}
