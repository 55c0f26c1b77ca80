"""A payment in the ISO 20022 form through the API, step by step as connectors take it; the hub answers in that form."""

import json
import uuid
from datetime import timedelta
from time import sleep
from typing import Any

import pytest
from django.db.models import F

from hub.outbox import claims, retries
from hub.outbox.models import Message
from hub.outbox.store import Failure
from ledger import invariants, tasks
from ledger.models import FxTransfer, Transfer
from quotes.expiry import expire_unanswered
from quotes.models import FxQuote, Quote
from tests.api import iso_messages as messages
from tests.api import messages as plain
from tests.api.caller import description_of, dfsp, error_of
from tests.api.iso_messages import id_of, iso
from tests.fx_world import open_scheme, positions
from tests.keys import CONDITION, FULFILMENT, OTHER_FULFILMENT
from tests.world import World, amount


def last_message() -> Message:
    return Message.objects.select_related("destination").latest("created_at", "id")


def body_of(message: Message) -> Any:
    return json.loads(bytes(message.body))


def reason_of(message: Message) -> str:
    """The code of an error that the hub says, which must be in the ISO 20022 form."""
    assert message.headers["content-type"].startswith("application/vnd.interoperability.iso20022."), message.headers
    assert (message.headers["fspiop-source"], message.signed_by_hub) == ("Hub", True)
    code: str = body_of(message)["TxInfAndSts"]["StsRsnInf"]["Rsn"]["Prtry"]
    return code


def pass_on_of(method: str, path: str, body: dict[str, Any], *, source: str, destination: str) -> Message:
    """Sends it, and what is passed on must be the same octets under the same headers."""
    raw = json.dumps(body, indent=1).encode()
    response = iso(method, path, raw, source=source, destination=destination)
    assert response.status_code == (202 if method == "POST" else 200), response.content
    message = last_message()
    assert (message.destination.name, message.method, message.path) == (destination, method, path)
    assert (bytes(message.body), message.signed_by_hub) == (raw, False)
    resource = path.split("/")[1]
    media_type = f"application/vnd.interoperability.iso20022.{resource}+json"
    assert message.headers["content-type"] == f"{media_type};version=2.0"
    assert message.headers.get("accept") == (f"{media_type};version=2" if method == "POST" else None)
    return message


def prepare(**more: Any) -> str:
    body = messages.transfer(**more)
    pass_on_of("POST", "/transfers", body, source="green", destination="blue")
    return id_of(body)


def fulfil(transfer_id: str, body: dict[str, Any]) -> None:
    answer = iso("PUT", f"/transfers/{transfer_id}", body, source="blue", destination="green")
    assert answer.status_code == 200, answer.content


def test_a_payment(committed_world: World) -> None:
    dfsp("POST", "/participants/MSISDN/255655001001", {"fspId": "blue"}, source="blue")
    path = "/parties/MSISDN/255655001001"
    assert iso("GET", path).status_code == 202
    asked = last_message()
    assert (asked.destination.name, asked.method, asked.path) == ("blue", "GET", path)
    assert asked.headers["accept"] == "application/vnd.interoperability.iso20022.parties+json;version=2"
    pass_on_of("PUT", path, messages.party("255655001001"), source="blue", destination="green")

    quote = messages.quote()
    pass_on_of("POST", "/quotes", quote, source="green", destination="blue")
    path = f"/quotes/{id_of(quote)}"
    pass_on_of("PUT", path, messages.terms(quote), source="blue", destination="green")
    agreed = Quote.objects.get(pk=id_of(quote))
    assert (agreed.state, agreed.condition) == (Quote.State.ACCEPTED, CONDITION)
    assert agreed.transaction_id == quote["CdtTrfTxInf"]["PmtId"]["EndToEndId"]
    assert agreed.expires_at is not None

    transfer_id = prepare(transfer_id=agreed.transaction_id)
    assert committed_world.position("green") == amount(100)
    path = f"/transfers/{transfer_id}"
    pass_on_of("PUT", path, messages.fulfilment(), source="blue", destination="green")
    assert (committed_world.position("green"), committed_world.position("blue")) == (amount(100), -amount(100))
    assert invariants.find_breaks() == []


def test_participants_have_a_media_type_of_the_form_and_plain_bodies(committed_world: World) -> None:
    media_type = "application/vnd.interoperability.iso20022.participants+json;version=2.0"
    path = "/participants/MSISDN/255655001001"
    party = {"partyIdType": "MSISDN", "partyIdentifier": "255655001001"}

    def told() -> tuple[str, Any]:
        message = last_message()
        assert message.headers["content-type"] == media_type
        return message.path, body_of(message)

    assert iso("POST", path, {"fspId": "green"}).status_code == 202
    assert told() == (path, {"partyList": [party | {"fspId": "green"}]})
    assert iso("GET", path).status_code == 202
    assert told() == (path, {"fspId": "green"})
    accept = {"accept": media_type.removesuffix(".0")}
    assert iso("DELETE", path, headers=accept).status_code == 202
    assert told() == (path, {"fspId": "green"})
    assert iso("GET", path).status_code == 202
    error_path, error = told()
    assert (error_path, error["errorInformation"]["errorCode"]) == (path + "/error", "3204")
    batch = {"requestId": str(uuid.uuid4()), "partyList": [party | {"fspId": "green"}]}
    assert iso("POST", "/participants", batch).status_code == 200
    assert told()[0] == f"/participants/{batch['requestId']}"
    assert iso("PUT", f"/participants/{batch['requestId']}", {"partyList": []}).status_code in (200, 400)
    assert iso("PUT", path + "/error", plain.error("3204")).status_code == 200


def test_a_message_is_not_made_before_the_moment_that_it_reports(committed_world: World) -> None:
    transfer_id = prepare()
    fulfil(transfer_id, messages.fulfilment("RESV"))
    for message in Message.objects.filter(subject=transfer_id, signed_by_hub=True):
        body = body_of(message)
        assert body["GrpHdr"]["CreDtTm"] >= body["TxInfAndSts"]["PrcgDt"]["DtTm"]


def test_a_payee_that_answered_reserved_is_told_the_end_by_patch(committed_world: World) -> None:
    transfer_id = prepare()
    fulfil(transfer_id, messages.fulfilment("RESV"))
    told = {message.method: message for message in Message.objects.filter(subject=transfer_id).order_by("id")[1:]}
    assert {method: message.destination_id for method, message in told.items()} == {
        "PUT": committed_world.ids["green"],
        "PATCH": committed_world.ids["blue"],
    }
    for message in told.values():
        assert message.path == f"/transfers/{transfer_id}"
        assert message.headers["content-type"] == "application/vnd.interoperability.iso20022.transfers+json;version=2.0"
        assert (message.headers["fspiop-source"], message.signed_by_hub) == ("Hub", True)
        assert set(body_of(message)["GrpHdr"]) == {"MsgId", "CreDtTm"}
    end, patch = body_of(told["PUT"])["TxInfAndSts"], body_of(told["PATCH"])["TxInfAndSts"]
    assert (end["TxSts"], end["ExctnConf"]) == ("COMM", FULFILMENT)
    assert set(patch) == {"TxSts", "PrcgDt"}
    assert (patch["TxSts"], patch["PrcgDt"]) == ("COMM", end["PrcgDt"])


def test_a_transfer_s_state_is_told_in_the_form_that_accept_asks_for(committed_world: World) -> None:
    transfer_id = prepare()
    fulfil(transfer_id, messages.fulfilment())
    path = f"/transfers/{transfer_id}"
    assert iso("GET", path).status_code == 202
    state = last_message()
    assert (state.destination.name, state.method, state.path) == ("green", "PUT", path)
    assert state.headers["content-type"] == "application/vnd.interoperability.iso20022.transfers+json;version=2.0"
    assert body_of(state)["TxInfAndSts"]["TxSts"] == "COMM"
    assert body_of(state)["TxInfAndSts"]["ExctnConf"] == FULFILMENT

    asks_plain = {"accept": "application/vnd.interoperability.transfers+json;version=1.1"}
    assert iso("GET", path, headers=asks_plain).status_code == 202
    assert last_message().headers["content-type"] == "application/vnd.interoperability.transfers+json;version=1.1"
    assert body_of(last_message())["transferState"] == "COMMITTED"

    assert iso("GET", f"/transfers/{uuid.uuid4()}").status_code == 202
    assert last_message().path.endswith("/error")
    assert reason_of(last_message()) == "3208"


def test_a_refused_transfer_is_told_so_in_this_form(committed_world: World) -> None:
    body = messages.transfer("1000.5")
    assert iso("POST", "/transfers", body, destination="blue").status_code == 202
    told = last_message()
    assert (told.destination.name, told.path) == ("green", f"/transfers/{id_of(body)}/error")
    assert reason_of(told) == "4200"
    assert body_of(told)["TxInfAndSts"]["StsRsnInf"]["AddtlInf"] == "Payer limit error - net debit cap"
    assert committed_world.position("green") == 0


def test_a_transfer_that_expires_is_told_to_both_in_this_form(committed_world: World) -> None:
    transfer_id = prepare(seconds=0.4)
    sleep(0.5)
    assert tasks.expire_transfers() == 1
    told = Message.objects.filter(subject=transfer_id, path__endswith="/error").select_related("destination")
    assert {message.destination.name: reason_of(message) for message in told} == {"green": "3303", "blue": "3303"}
    assert committed_world.position("green") == 0


def test_a_payee_s_refusal_is_passed_on(committed_world: World) -> None:
    transfer_id = prepare()
    path = f"/transfers/{transfer_id}/error"
    pass_on_of("PUT", path, messages.error("5104"), source="blue", destination="green")
    transfer = Transfer.objects.get(pk=transfer_id)
    assert (transfer.state, transfer.error_code, transfer.error_description) == ("ABORTED", "5104", "no")
    assert committed_world.position("green") == 0
    iso("GET", f"/transfers/{transfer_id}")
    aborted = body_of(last_message())["TxInfAndSts"]
    assert aborted["TxSts"] == "ABOR"
    assert aborted["StsRsnInf"] == {"Rsn": {"Prtry": "5104"}, "AddtlInf": "no"}


def test_a_fulfilment_that_does_not_fit_ends_the_transfer_for_both_in_this_form(committed_world: World) -> None:
    transfer_id = prepare()
    fulfil(transfer_id, messages.fulfilment(ExctnConf=OTHER_FULFILMENT))
    told = Message.objects.filter(subject=transfer_id, path__endswith="/error").select_related("destination")
    assert {message.destination.name: reason_of(message) for message in told} == {"green": "3100", "blue": "3100"}
    assert committed_world.position("green") == 0


def test_a_transfer_sent_again_with_a_new_message_id_is_the_same_transfer(committed_world: World) -> None:
    body = messages.transfer()
    iso("POST", "/transfers", body, destination="blue")
    again = body | {"GrpHdr": body["GrpHdr"] | messages.header()}
    assert iso("POST", "/transfers", again, destination="blue").status_code == 202
    told = last_message()
    assert (told.destination.name, told.method, told.path) == ("green", "PUT", f"/transfers/{id_of(body)}")
    assert body_of(told)["TxInfAndSts"]["TxSts"] == "RESV"
    assert committed_world.position("green") == amount(100)

    other = messages.transfer("101", transfer_id=id_of(body))
    assert iso("POST", "/transfers", other, destination="blue").status_code == 202
    assert reason_of(last_message()) == "3106"
    assert committed_world.position("green") == amount(100)


def test_each_side_is_told_in_the_form_that_it_spoke(committed_world: World) -> None:
    body = plain.transfer()
    dfsp("POST", "/transfers", body, destination="blue")
    fulfil(body["transferId"], messages.fulfilment("RESV"))
    told = {message.method: message for message in Message.objects.filter(subject=body["transferId"])}
    assert body_of(told["PUT"])["transferState"] == "COMMITTED"
    assert told["PUT"].headers["content-type"] == "application/vnd.interoperability.transfers+json;version=1.1"
    assert body_of(told["PATCH"])["TxInfAndSts"]["TxSts"] == "COMM"


def test_a_party_that_can_not_be_found_is_said_so_in_this_form(committed_world: World) -> None:
    assert iso("GET", "/parties/MSISDN/255600000000").status_code == 202
    told = last_message()
    assert (told.destination.name, told.path) == ("green", "/parties/MSISDN/255600000000/error")
    assert told.headers["content-type"] == "application/vnd.interoperability.iso20022.parties+json;version=2.0"
    assert body_of(told)["Rpt"] == {"OrgnlId": "255600000000", "Vrfctn": False, "Rsn": {"Cd": "3204"}}


def test_a_payee_s_word_that_there_is_no_such_party_is_passed_on(committed_world: World) -> None:
    dfsp("POST", "/participants/MSISDN/255655001001", {"fspId": "blue"}, source="blue")
    iso("GET", "/parties/MSISDN/255655001001")
    path = "/parties/MSISDN/255655001001/error"
    pass_on_of("PUT", path, messages.no_party(), source="blue", destination="green")


def test_a_quote_s_refusals_are_told_in_this_form(committed_world: World) -> None:
    nowhere = messages.quote()
    assert iso("POST", "/quotes", nowhere, destination="nobody").status_code == 202
    assert (last_message().path, reason_of(last_message())) == (f"/quotes/{id_of(nowhere)}/error", "3201")

    refused = messages.quote()
    iso("POST", "/quotes", refused, destination="blue")
    path = f"/quotes/{id_of(refused)}/error"
    pass_on_of("PUT", path, messages.error("5103"), source="blue", destination="green")

    silent = messages.quote()
    iso("POST", "/quotes", silent, destination="blue")
    past = timedelta(minutes=10)
    rows = Quote.objects.filter(pk=id_of(silent))
    rows.update(expires_at=F("expires_at") - past, created_at=F("created_at") - past)
    assert expire_unanswered() == 1
    assert reason_of(last_message()) == "3302"


def undeliverable(path: str) -> Message:
    """What is told to who asked, where this request can not be delivered."""
    room = {last_message().destination_id: claims.Room(9, 10**9)}
    (found,) = [m for m in claims.claim(room, lease_s=60).messages if m.path == path]
    retries.settle([Failure(message=found, delay_s=1, error="refused", is_dead=True)])
    return last_message()


def test_who_asked_what_can_not_be_delivered_is_told_so_in_this_form(committed_world: World) -> None:
    quote = messages.quote()
    iso("POST", "/quotes", quote, destination="blue")
    assert reason_of(undeliverable("/quotes")) == "1001"

    dfsp("POST", "/participants/MSISDN/255655001001", {"fspId": "blue"}, source="blue")
    says_nothing = {"content-type": "application/vnd.interoperability.parties+json;version=1.1"}  # of a GET
    iso("GET", "/parties/MSISDN/255655001001", headers=says_nothing)
    told = undeliverable("/parties/MSISDN/255655001001")
    assert body_of(told)["Rpt"]["Rsn"] == {"Cd": "1001"}


# Conversions


@pytest.fixture
def scheme(committed_world: World) -> World:
    return open_scheme(committed_world)


def test_a_payment_in_another_currency(scheme: World) -> None:
    asked = messages.fx_quote()
    pass_on_of("POST", "/fxQuotes", asked, source="green", destination="fxp")
    path = f"/fxQuotes/{id_of(asked)}"
    pass_on_of("PUT", path, messages.fx_terms(asked), source="fxp", destination="green")
    names = asked["CdtTrfTxInf"]["PmtId"]
    agreed = FxQuote.objects.get(pk=names["TxId"])
    assert (agreed.conversion_id, agreed.determining_transfer_id) == (names["InstrId"], names["EndToEndId"])
    assert (agreed.state, agreed.condition) == (FxQuote.State.ACCEPTED, CONDITION)

    determining = names["EndToEndId"]
    body = messages.fx_transfer(commit_request_id=names["InstrId"], determining=determining)
    pass_on_of("POST", "/fxTransfers", body, source="green", destination="fxp")
    path = f"/fxTransfers/{id_of(body)}"
    pass_on_of("PUT", path, messages.fulfilment("RESV"), source="fxp", destination="green")
    assert iso("GET", path).status_code == 202
    state = last_message()
    assert state.headers["content-type"] == "application/vnd.interoperability.iso20022.fxTransfers+json;version=2.0"
    assert body_of(state)["TxInfAndSts"]["TxSts"] == "RESV"
    assert body_of(state)["TxInfAndSts"]["ExctnConf"] == FULFILMENT

    prepare(amount="5", currency="KES", transfer_id=determining)
    assert positions(scheme) == {"green TZS": 100, "fxp KES": 5}
    fulfil(determining, messages.fulfilment())
    patch = last_message()
    assert (patch.destination.name, patch.method, patch.path) == ("fxp", "PATCH", path)
    assert patch.headers["content-type"] == "application/vnd.interoperability.iso20022.fxTransfers+json;version=2.0"
    assert set(body_of(patch)["TxInfAndSts"]) == {"TxSts", "PrcgDt"}
    assert body_of(patch)["TxInfAndSts"]["TxSts"] == "COMM"
    assert invariants.find_breaks() == []


def test_a_conversion_s_refusals_are_told_in_this_form(scheme: World) -> None:
    body = messages.fx_transfer()
    pass_on_of("POST", "/fxTransfers", body, source="green", destination="fxp")
    path = f"/fxTransfers/{id_of(body)}/error"
    pass_on_of("PUT", path, messages.error("5104"), source="fxp", destination="green")
    assert FxTransfer.objects.get(pk=id_of(body)).state == "ABORTED"

    late = messages.fx_transfer(seconds=0.4)
    iso("POST", "/fxTransfers", late, destination="fxp")
    sleep(0.5)
    assert tasks.expire_transfers() == 1
    told = Message.objects.filter(subject=id_of(late), path__endswith="/error").select_related("destination")
    assert {message.destination.name: reason_of(message) for message in told} == {"green": "3303", "fxp": "3303"}
    assert iso("GET", f"/fxTransfers/{uuid.uuid4()}").status_code == 202
    assert reason_of(last_message()) == "3208"


# Bad input


@pytest.mark.parametrize(
    ("body", "code", "says"),
    [
        (b"{", "3101", "JSON"),
        ({}, "3102", "GrpHdr is required"),
        (messages.fulfilment(), "3102", "GrpHdr.PmtInstrXpryDtTm is required"),
        (plain.transfer(), "3102", "GrpHdr is required"),
        (messages.transfer("0"), "3100", "must be above 0"),
        (messages.transfer("999999999999999999"), "3100", "at most 14 digits"),
    ],
)
def test_a_bad_transfer_is_refused_at_once_and_changes_nothing(
    committed_world: World, body: Any, code: str, says: str
) -> None:
    before = Message.objects.count()
    response = iso("POST", "/transfers", body, destination="blue")
    assert error_of(response) == (400, code)
    assert says in description_of(response)
    assert (Message.objects.count(), Transfer.objects.count()) == (before, 0)


def test_nobody_prepares_in_anothers_name(committed_world: World) -> None:
    response = iso("POST", "/transfers", messages.transfer(), source="red", destination="blue")
    assert error_of(response) == (400, "3100")
    assert Transfer.objects.count() == 0


def test_the_other_resources_have_no_such_form(committed_world: World) -> None:
    assert error_of(iso("GET", f"/bulkTransfers/{uuid.uuid4()}")) == (400, "3101")
    assert error_of(iso("POST", "/bulkTransfers", plain.bulk_transfer(), destination="blue")) == (400, "3101")


def test_an_iso_20022_body_under_the_plain_media_type_is_refused(committed_world: World) -> None:
    response = dfsp("POST", "/transfers", messages.transfer(), destination="blue", version="2.0")
    assert error_of(response) == (400, "3102")
