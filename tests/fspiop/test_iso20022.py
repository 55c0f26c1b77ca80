"""ISO 20022 messages become the hub's own, and what the hub says becomes ISO 20022; ILPv4 packets are read exactly."""

import copy
import dataclasses
import json
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fspiop import base64url, bodies, correlation_ids, ilp, iso20022, money, versions
from fspiop.bodies.common import Money, Transaction
from fspiop.bodies.errors import ErrorPut
from fspiop.bodies.fx_quotes import FxConversion, FxMoney, FxQuotePost, FxQuotePut
from fspiop.bodies.fx_transfers import FxTransferPatch, FxTransferPost, FxTransferPut
from fspiop.bodies.parties import PartyPut
from fspiop.bodies.quotes import QuotePost, QuotePut
from fspiop.bodies.transfers import TransferPatch, TransferPost, TransferPut
from fspiop.errors import ErrorCode, FspiopError, error_body
from fspiop.iso20022 import ilp4
from fspiop.iso20022.writing_requests_and_answers import Envelope, write
from fspiop.resources import RESOURCES, Iso20022
from fspiop.versions import Version
from tests.api import iso_messages as messages
from tests.keys import CONDITION, FULFILMENT

MOMENT = datetime(2026, 11, 24, 8, 0, tzinfo=UTC)


def read(kind: type[Any], body: Any, resource: str = "transfers") -> Any:
    return iso20022.read(kind, json.dumps(body).encode(), resource)


def spoilt(body: dict[str, Any], path: str, value: Any = None) -> dict[str, Any]:
    """The same with another value at this path, or without it."""
    changed = copy.deepcopy(body)
    *parents, last = path.split(".")
    node = changed
    for name in parents:
        node = node[name]
    if value is None:
        del node[last]
    else:
        node[last] = value
    return changed


def test_a_transfer_is_read_with_the_condition_in_its_packet():
    body = messages.transfer("100.50")
    found = read(TransferPost, body)
    assert (found.transfer_id, found.payer_fsp, found.payee_fsp) == (messages.id_of(body), "green", "blue")
    assert (found.amount, found.condition) == (Money("TZS", "100.5"), CONDITION)
    assert found.expiration == body["GrpHdr"]["PmtInstrXpryDtTm"]


def test_a_condition_may_stand_alone_or_beside_its_packet_but_not_against_it():
    body = messages.transfer()
    assert (
        read(TransferPost, spoilt(body, "CdtTrfTxInf.VrfctnOfTerms", {"Sh256Sgntr": CONDITION})).condition == CONDITION
    )
    both = {"IlpV4PrepPacket": messages.PACKET, "Sh256Sgntr": CONDITION}
    assert read(TransferPost, spoilt(body, "CdtTrfTxInf.VrfctnOfTerms", both)).condition == CONDITION
    with pytest.raises(FspiopError, match=r"3100 .*Sh256Sgntr: does not match the condition in the packet"):
        read(TransferPost, spoilt(body, "CdtTrfTxInf.VrfctnOfTerms", both | {"Sh256Sgntr": FULFILMENT}))


@pytest.mark.parametrize(
    ("status", "state"), [("COMM", "COMMITTED"), ("RESV", "RESERVED"), ("RECV", "RECEIVED"), ("ABOR", "ABORTED")]
)
def test_a_status_is_a_state(status, state):
    found = read(TransferPut, messages.fulfilment(status))
    assert (found.transfer_state, found.fulfilment) == (state, FULFILMENT)
    assert found.completed_timestamp is not None
    assert read(FxTransferPut, messages.fulfilment(status)).conversion_state == state


def test_quotes_are_read():
    asked = messages.quote("12.3400")
    found = read(QuotePost, asked, "quotes")
    assert found.quote_id == messages.id_of(asked)
    assert found.transaction_id == asked["CdtTrfTxInf"]["PmtId"]["EndToEndId"]
    assert found.amount == Money("TZS", "12.34")
    assert (found.payer.party_id_info.fsp_id, found.payee.party_id_info.fsp_id) == ("green", "blue")
    assert found.payee.party_id_info.party_identifier == "255655001001"
    assert (found.transaction_type.scenario, found.transaction_type.initiator_type) == ("TRANSFER", "CONSUMER")
    assert found.expiration == asked["GrpHdr"]["PmtInstrXpryDtTm"]
    assert read(QuotePost, spoilt(asked, "GrpHdr.PmtInstrXpryDtTm"), "quotes").expiration is None
    answer = read(QuotePut, messages.terms(asked), "quotes")
    assert (answer.condition, answer.transfer_amount) == (CONDITION, Money("TZS", "12.34"))


def test_an_organisation_pays_as_a_business():
    asked = spoilt(
        messages.quote(), "CdtTrfTxInf.Dbtr.Id", {"OrgId": {"Othr": {"SchmeNm": {"Prtry": "BUSINESS"}, "Id": "9"}}}
    )
    found = read(QuotePost, asked, "quotes")
    assert found.payer.party_id_info.party_id_type == "BUSINESS"
    assert found.transaction_type.initiator_type == "BUSINESS"


def test_conversions_are_read():
    asked = messages.fx_quote()
    found = read(FxQuotePost, asked, "fxQuotes")
    names = asked["CdtTrfTxInf"]["PmtId"]
    terms = found.conversion_terms
    assert (found.conversion_request_id, terms.conversion_id) == (names["TxId"], names["InstrId"])
    assert (terms.determining_transfer_id, terms.amount_type) == (names["EndToEndId"], "SEND")
    assert (terms.initiating_fsp, terms.counter_party_fsp) == ("green", "fxp")
    assert (terms.source_amount, terms.target_amount) == (FxMoney("TZS", "100"), FxMoney("KES"))
    answer = read(FxQuotePut, messages.fx_terms(asked), "fxQuotes")
    assert (answer.condition, answer.conversion_terms.target_amount) == (CONDITION, FxMoney("KES", "5"))

    body = messages.fx_transfer()
    conversion = read(FxTransferPost, body, "fxTransfers")
    assert conversion.commit_request_id == messages.id_of(body)
    assert conversion.determining_transfer_id == body["CdtTrfTxInf"]["PmtId"]["EndToEndId"]
    assert (conversion.source_amount, conversion.target_amount) == (Money("TZS", "100"), Money("KES", "5"))
    assert (conversion.condition, conversion.expiration) == (CONDITION, body["GrpHdr"]["PmtInstrXpryDtTm"])


def test_parties_and_errors_are_read():
    found = read(PartyPut, messages.party("255655001001"), "parties").party.party_id_info
    assert (found.party_id_type, found.party_identifier, found.fsp_id) == ("MSISDN", "255655001001", "blue")
    assert read(ErrorPut, messages.no_party(), "parties").error_information.error_code == "3204"
    refused = read(ErrorPut, messages.error("5104", "no")).error_information
    assert (refused.error_code, refused.error_description) == ("5104", "no")
    silent = spoilt(messages.error("5104"), "TxInfAndSts.StsRsnInf.AddtlInf")
    assert read(ErrorPut, silent).error_information.error_description == "Payee rejected transaction"
    coded = spoilt(messages.error(), "TxInfAndSts.StsRsnInf.Rsn", {"Cd": "5200"})
    assert read(ErrorPut, coded, "quotes").error_information.error_code == "5200"
    long = read(ErrorPut, messages.error("5104", "x" * 500)).error_information
    assert len(long.error_description) == 128


REFUSED = [
    (TransferPost, messages.transfer(), "GrpHdr", None, "3102", "GrpHdr is required"),
    (TransferPost, messages.transfer(), "GrpHdr.PmtInstrXpryDtTm", None, "3102", "GrpHdr.PmtInstrXpryDtTm is required"),
    (TransferPost, messages.transfer(), "CdtTrfTxInf.PmtId.TxId", None, "3102", "CdtTrfTxInf.PmtId.TxId is required"),
    (TransferPost, messages.transfer(), "CdtTrfTxInf.PmtId.TxId", "7", "3100", "CdtTrfTxInf.PmtId.TxId: does not have"),
    (
        *(TransferPost, messages.transfer(), "CdtTrfTxInf.CdtrAgt.FinInstnId.Othr.Id", None, "3102"),
        "CdtTrfTxInf.CdtrAgt.FinInstnId.Othr.Id is required",
    ),
    (TransferPost, messages.transfer(), "CdtTrfTxInf.DbtrAgt", "green", "3101", "CdtTrfTxInf.DbtrAgt: must be"),
    (TransferPost, messages.transfer(), "CdtTrfTxInf.IntrBkSttlmAmt.Ccy", "XYZ", "3100", "IntrBkSttlmAmt.Ccy: "),
    *(
        (
            TransferPost,
            messages.transfer(),
            "CdtTrfTxInf.IntrBkSttlmAmt.ActiveCurrencyAndAmount",
            amount,
            code,
            "AndAmount",
        )
        for amount, code in [("01", "3100"), ("-1", "3100"), ("1.00001", "3100"), ("1e3", "3100"), (1, "3101")]
    ),
    (
        TransferPost,
        messages.transfer(),
        "CdtTrfTxInf.VrfctnOfTerms",
        {},
        "3102",
        "VrfctnOfTerms.IlpV4PrepPacket is required",
    ),
    (
        *(TransferPost, messages.transfer(), "CdtTrfTxInf.VrfctnOfTerms.IlpV4PrepPacket", "AYIB", "3100"),
        "CdtTrfTxInf.VrfctnOfTerms.IlpV4PrepPacket: the packet is not an ILPv4 prepare",
    ),
    (TransferPut, messages.fulfilment(), "TxInfAndSts", None, "3102", "TxInfAndSts is required"),
    (TransferPut, messages.fulfilment(), "TxInfAndSts.TxSts", None, "3102", "TxInfAndSts.TxSts is required"),
    (TransferPut, messages.fulfilment(), "TxInfAndSts.TxSts", "DONE", "3100", "TxInfAndSts.TxSts: "),
    (TransferPut, messages.fulfilment(), "TxInfAndSts.ExctnConf", "abc", "3100", "TxInfAndSts.ExctnConf: "),
    (TransferPut, messages.fulfilment(), "TxInfAndSts.PrcgDt.DtTm", "now", "3100", "TxInfAndSts.PrcgDt.DtTm: "),
    (ErrorPut, messages.error(), "TxInfAndSts.StsRsnInf.Rsn", {}, "3102", "StsRsnInf.Rsn.Prtry is required"),
    (ErrorPut, messages.error(), "TxInfAndSts.StsRsnInf.Rsn.Prtry", "no", "3100", "StsRsnInf.Rsn.Prtry: "),
    (QuotePost, messages.quote(), "CdtTrfTxInf.PmtId.EndToEndId", None, "3102", "PmtId.EndToEndId is required"),
    (QuotePost, messages.quote(), "CdtTrfTxInf.Dbtr.Id", {}, "3102", "CdtTrfTxInf.Dbtr.Id.PrvtId is required"),
    (FxTransferPost, messages.fx_transfer(), "CdtTrfTxInf.PmtId.EndToEndId", None, "3102", "EndToEndId is required"),
    (FxTransferPost, messages.fx_transfer(), "CdtTrfTxInf.UndrlygCstmrCdtTrf.InstdAmt", None, "3102", "InstdAmt is"),
    (PartyPut, messages.party("1"), "Rpt.UpdtdPtyAndAcctId", None, "3102", "Rpt.UpdtdPtyAndAcctId is required"),
]


@pytest.mark.parametrize(("kind", "body", "path", "value", "code", "says"), REFUSED)
def test_a_refusal_names_the_element_at_fault(kind, body, path, value, code, says):
    with pytest.raises(FspiopError) as found:
        read(kind, spoilt(body, path, value), "parties" if kind is PartyPut else "transfers")
    assert found.value.code == code
    assert says in found.value.description


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=5),
    lambda parts: st.lists(parts, max_size=3) | st.dictionaries(st.text(max_size=5), parts, max_size=3),
    max_leaves=5,
)
EVERY_KIND = [
    (PartyPut, messages.party("1"), "parties"),
    (QuotePost, messages.quote(), "quotes"),
    (QuotePut, messages.terms(messages.quote()), "quotes"),
    (FxQuotePost, messages.fx_quote(), "fxQuotes"),
    (FxQuotePut, messages.fx_terms(messages.fx_quote()), "fxQuotes"),
    (TransferPost, messages.transfer(), "transfers"),
    (TransferPut, messages.fulfilment(), "transfers"),
    (FxTransferPost, messages.fx_transfer(), "fxTransfers"),
    (FxTransferPut, messages.fulfilment("RESV"), "fxTransfers"),
    (ErrorPut, messages.error(), "transfers"),
    (ErrorPut, messages.no_party(), "parties"),
]


def places(node: Any, path: str = "") -> list[str]:
    if not isinstance(node, dict):
        return [path]
    return [path, *(place for name, part in node.items() for place in places(part, f"{path}.{name}".lstrip(".")))]


@given(st.sampled_from(EVERY_KIND), st.data())
def test_whatever_stands_anywhere_is_read_or_refused_as_the_sender_s_fault(case, data):
    kind, body, resource = case
    path = data.draw(st.sampled_from(places(body)[1:]))
    value = data.draw(ANYTHING)
    raw = json.dumps(spoilt(body, path, value), ensure_ascii=True).encode()
    try:
        found = iso20022.read(kind, raw, resource)
    except FspiopError as refusal:
        status = refusal.http_status
    else:
        status = 200
        # What was made of it is a message that the API itself would take; only the packet may be missing.
        if getattr(found, "ilp_packet", None) != "":
            assert bodies.read(kind, bodies.write(found)) == found
    assert status in (200, 400)


@given(st.integers(0, money.MAX_AMOUNT), st.integers(0, 3))
def test_zeros_at_the_end_of_an_amount_change_nothing(amount, zeros):
    text = money.format_amount(amount)
    longer = text if "." not in text else text + "0" * min(zeros, 5 - len(text.partition(".")[2]))
    found = read(TransferPost, messages.transfer(longer))
    assert money.parse_amount(found.amount.amount) == amount


def test_a_message_sent_again_has_the_same_content_though_its_id_and_time_are_new():
    first = messages.transfer(transfer_id=correlation_ids.new_ulid())
    again = copy.deepcopy(first)
    again["GrpHdr"] |= {"MsgId": correlation_ids.new_ulid(), "CreDtTm": "2030-01-01T00:00:00.000Z"}
    other = copy.deepcopy(again)
    other["GrpHdr"]["PmtInstrXpryDtTm"] = "2030-01-01T00:00:00.000Z"
    contents = [iso20022.content(json.dumps(body).encode()) for body in (first, again, other)]
    assert contents[0] == contents[1] != contents[2]


def test_the_elements_of_every_kind_are_named():
    for kind, body, resource in EVERY_KIND:
        assert set(iso20022.wire_of(kind, resource).__struct_encode_fields__) <= set(body)


# What the hub says


def say(body: dict[str, Any], path: str) -> Any:
    return iso20022.write(body, path=path, date=MOMENT, source="Hub", destination="green")


def test_an_error_is_said_as_a_status_report():
    said = say(error_body("3303", "Transfer expired"), "/transfers/1/error")
    assert said["TxInfAndSts"] == {"StsRsnInf": {"Rsn": {"Prtry": "3303"}, "AddtlInf": "Transfer expired"}}
    assert said["GrpHdr"]["CreDtTm"] == "2026-11-24T08:00:00.000Z"
    assert correlation_ids.is_correlation_id(said["GrpHdr"]["MsgId"])


def test_an_error_about_a_party_is_said_as_a_verification_report():
    said = say(error_body("3204", "Party not found"), "/parties/EMAIL/ada%2Bx@example.org/error")
    assert said["Rpt"] == {"OrgnlId": "ada+x@example.org", "Vrfctn": False, "Rsn": {"Cd": "3204"}}
    assert said["Assgnmt"]["Assgnr"] == {"Agt": messages.agent("Hub")}
    assert said["Assgnmt"]["Assgne"] == {"Agt": messages.agent("green")}
    assert read(ErrorPut, said, "parties").error_information.error_code == "3204"


def test_an_abort_is_said_with_its_reason():
    cause = {"extension": [{"key": "cause", "value": "3303: Transfer expired"}]}
    said = say({"transferState": "ABORTED", "extensionList": cause}, "/transfers/1")
    assert said["TxInfAndSts"] == {
        "TxSts": "ABOR",
        "StsRsnInf": {"Rsn": {"Prtry": "3303"}, "AddtlInf": "Transfer expired"},
    }


def test_two_messages_of_one_moment_have_two_ids():
    one, two = (say(error_body("3303", "x"), f"/transfers/{number}/error") for number in "12")
    assert one["GrpHdr"]["MsgId"] != two["GrpHdr"]["MsgId"]


@given(
    st.sampled_from(["COMMITTED", "RESERVED", "RECEIVED", "ABORTED"]),
    st.none() | st.just(FULFILMENT),
    st.none() | st.just("2026-11-24T08:00:00.000Z"),
)
def test_what_the_hub_says_of_a_state_reads_back(state, fulfilment, completed):
    for name, kind in (("transferState", TransferPut), ("conversionState", FxTransferPut)):
        plain = {name: state, "fulfilment": fulfilment, "completedTimestamp": completed}
        plain = {key: value for key, value in plain.items() if value is not None}
        assert json.loads(bodies.write(read(kind, say(plain, "/transfers/1")))) == plain


@given(st.sampled_from(list(ErrorCode)), st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=200))
def test_what_the_hub_says_of_an_error_reads_back(error, text):
    plain = error_body(error.code, text)
    found = read(ErrorPut, say(plain, "/quotes/1/error"), "quotes").error_information
    assert found.error_code == error.code
    assert plain["errorInformation"]["errorDescription"].startswith(found.error_description)


# What a DFSP says

ENVELOPE = Envelope("/quotes/b51ec534-ee48-4575-b6a9-ead2955b8069", MOMENT, "green", "blue")
ALIKE = bodies.read(
    Transaction,
    json.dumps(
        {
            "transactionId": "b51ec534-ee48-4575-b6a9-ead2955b8069",
            "quoteId": "b51ec534-ee48-4575-b6a9-ead2955b8070",
            "payee": {
                "partyIdInfo": {"partyIdType": "BUSINESS", "partyIdentifier": "7", "fspId": "blue"},
                "name": "Mama; Ntilie",
            },
            "payer": {
                "partyIdInfo": {"partyIdType": "MSISDN", "partyIdentifier": "255712001001", "fspId": "green"},
                "name": "Grace Lyimo",
                "personalInfo": {"complexName": {"firstName": "Grace", "lastName": "Lyimo"}},
            },
            "amount": {"amount": "101", "currency": "TZS"},
            "transactionType": {
                "scenario": "REFUND",
                "initiator": "PAYEE",
                "initiatorType": "AGENT",
                "subScenario": "A" * 32,
                "refundInfo": {"originalTransactionId": "b51ec534-ee48-4575-b6a9-ead2955b8071"},
            },
        }
    ).encode(),
)
SECRET = b"a secret of the payee's"
OWN_PACKET = ilp4.with_condition(
    ilp4.IlpPrepare(10100, MOMENT, b"", "g.blue.msisdn.7", base64url.encode(bodies.write(ALIKE)).encode()), SECRET
)
OWN_CONDITION = ilp.condition_for(ilp4.fulfilment_for(OWN_PACKET, SECRET))
TERMS = FxConversion(
    conversion_id="b51ec534-ee48-4575-b6a9-ead2955b8072",
    initiating_fsp="green",
    counter_party_fsp="fxp",
    amount_type="RECEIVE",
    source_amount=FxMoney("TZS"),
    target_amount=FxMoney("KES", "5"),
    expiration="2026-11-24T09:00:00.000Z",
    determining_transfer_id="b51ec534-ee48-4575-b6a9-ead2955b8069",
)
OWN_MESSAGES = [
    (PartyPut(msgspec.structs.replace(ALIKE.payer, supported_currencies=["TZS"])), "parties"),
    (
        QuotePost(
            quote_id=ALIKE.quote_id,
            transaction_id=ALIKE.transaction_id,
            transaction_request_id="b51ec534-ee48-4575-b6a9-ead2955b8073",
            payee=msgspec.structs.replace(ALIKE.payee, name="Mama Ntilie"),
            payer=ALIKE.payer,
            amount_type="RECEIVE",
            amount=Money("TZS", "100.5"),
            transaction_type=ALIKE.transaction_type,
            note="for lunch",
            expiration="2026-11-24T09:00:00.000Z",
        ),
        "quotes",
    ),
    (
        QuotePut(
            transfer_amount=Money("TZS", "101"),
            payee_receive_amount=Money("TZS", "100"),
            payee_fsp_fee=Money("TZS", "2"),
            payee_fsp_commission=Money("TZS", "1"),
            expiration="2026-11-24T09:00:00.000Z",
            ilp_packet=OWN_PACKET,
            condition=OWN_CONDITION,
        ),
        "quotes",
    ),
    (FxQuotePost("b51ec534-ee48-4575-b6a9-ead2955b8069", TERMS), "fxQuotes"),
    (
        FxQuotePut(msgspec.structs.replace(TERMS, source_amount=FxMoney("TZS", "98")), CONDITION),
        "fxQuotes",
    ),
    (
        TransferPost(
            transfer_id=ALIKE.transaction_id,
            payee_fsp="blue",
            payer_fsp="green",
            amount=Money("TZS", "101"),
            ilp_packet=OWN_PACKET,
            condition=OWN_CONDITION,
            expiration="2026-11-24T09:00:00.000Z",
        ),
        "transfers",
    ),
    (
        FxTransferPost(
            commit_request_id="b51ec534-ee48-4575-b6a9-ead2955b8069",
            initiating_fsp="green",
            counter_party_fsp="fxp",
            source_amount=Money("TZS", "98"),
            target_amount=Money("KES", "5"),
            condition=CONDITION,
            determining_transfer_id=ALIKE.transaction_id,
            expiration="2026-11-24T09:00:00.000Z",
        ),
        "fxTransfers",
    ),
]


@pytest.mark.parametrize(("message", "resource"), OWN_MESSAGES, ids=lambda found: type(found).__name__)
def test_what_a_dfsp_says_reads_back(message: Any, resource: str) -> None:
    said = write(message, ENVELOPE)
    assert read(type(message), said, resource) == message
    heading = said["Assgnmt"] if resource == "parties" else said["GrpHdr"]
    assert correlation_ids.is_correlation_id(heading["MsgId"])


def test_the_parties_of_terms_and_transfers_come_from_the_packet() -> None:
    for message, resource in OWN_MESSAGES:
        if isinstance(message, QuotePut | TransferPost):
            said = write(message, Envelope(f"/{resource}/1", MOMENT, "blue", "green"))["CdtTrfTxInf"]
            assert said["Cdtr"]["Id"]["OrgId"]["Othr"] == {"SchmeNm": {"Prtry": "BUSINESS"}, "Id": "7"}
            assert said["Cdtr"]["Nm"] == ";;;Mama, Ntilie"
            assert said["Dbtr"]["Nm"] == "Grace;;Lyimo;Grace Lyimo"
            assert (said["DbtrAgt"], said["CdtrAgt"]) == (messages.agent("green"), messages.agent("blue"))


def test_a_transfer_with_another_payees_packet_names_the_dfsps() -> None:
    (transfer,) = (message for message, _ in OWN_MESSAGES if isinstance(message, TransferPost))
    for packet in (messages.PACKET, "AYIBgQAAAA"):
        said = write(msgspec.structs.replace(transfer, ilp_packet=packet), ENVELOPE)["CdtTrfTxInf"]
        assert said["Cdtr"] == {"Id": {"OrgId": {"Othr": {"Id": "blue"}}}}
        assert said["VrfctnOfTerms"] == {"IlpV4PrepPacket": packet}


def test_details_that_the_api_does_not_allow_are_ignored() -> None:
    for text in ("initiator=NOBODY", "subScenario=small letters", "refundOf=7", "=;==;x", "no details"):
        asked = messages.quote()
        asked["CdtTrfTxInf"] |= {"InstrForCdtrAgt": {"InstrInf": text}}
        asked["CdtTrfTxInf"]["PmtId"]["InstrId"] = "not an id"
        found = read(QuotePost, asked, "quotes")
        kind = found.transaction_type
        assert (kind.initiator, kind.sub_scenario, kind.refund_info) == ("PAYER", None, None)
        assert found.transaction_request_id is None


def test_an_abort_is_read_with_its_reason() -> None:
    body = messages.fulfilment("ABOR", StsRsnInf={"Rsn": {"Prtry": "3303"}, "AddtlInf": "Transfer expired"})
    for kind, resource in ((TransferPut, "transfers"), (TransferPatch, "transfers"), (FxTransferPatch, "fxTransfers")):
        found = read(kind, body, resource).extension_list
        assert [(each.key, each.value) for each in found.extension] == [("cause", "3303: Transfer expired")]


@given(st.binary(min_size=16, max_size=40), st.integers(0, 10**12))
def test_only_the_secret_and_the_whole_packet_give_the_fulfilment(secret: bytes, amount: int) -> None:
    prepare = ilp4.IlpPrepare(amount, MOMENT, b"", "g.blue", b"data")
    packet = ilp4.with_condition(prepare, secret)
    fulfilment = ilp4.fulfilment_for(packet, secret)
    assert ilp.fulfils(fulfilment, base64url.encode(ilp4.decode_prepare(packet).condition))
    assert ilp4.fulfilment_for(packet, secret + b"x") != fulfilment
    other = ilp4.with_condition(dataclasses.replace(prepare, amount=amount + 1), secret)
    assert ilp4.fulfilment_for(other, secret) != fulfilment


# Packets

PREPARES = st.builds(
    ilp4.IlpPrepare,
    amount=st.integers(0, 2**64 - 1),
    expires_at=st.datetimes(min_value=datetime(1900, 1, 1), timezones=st.just(UTC)).map(  # noqa: DTZ001
        lambda moment: moment.replace(microsecond=moment.microsecond // 1000 * 1000)
    ),
    condition=st.binary(min_size=32, max_size=32),
    destination=st.text("abcdefghijklmnopqrstuvwxyz.0123456789-_~", max_size=300),
    data=st.binary(max_size=2000),
)
# A connector's own, of 10 XXX in ten-thousandths.
WRITTEN_BY_A_CONNECTOR = (
    "DIIDPQAAAAAAAYagMjAyNjExMjMyMzIwMjY3OTmbjt5l90zqu-SeXi1l5l_9hTPsKCPKnNXCxumx3qu85QpnLm1vamFsb29wggL2"
)


@given(PREPARES)
def test_a_packet_reads_back(prepare):
    assert ilp4.decode_prepare(ilp4.encode_prepare(prepare)) == prepare


@given(PREPARES, st.data())
def test_a_packet_cut_or_changed_is_refused_or_another(prepare, data):
    octets = base64url.decode(ilp4.encode_prepare(prepare))
    cut = data.draw(st.integers(0, len(octets) - 1))
    with pytest.raises(ValueError, match=r"ends|not"):
        ilp4.decode_prepare(base64url.encode(octets[:cut]))
    with pytest.raises(ValueError, match="extra bytes follow"):
        ilp4.decode_prepare(base64url.encode(octets + b"\0"))
    changed = bytearray(octets)
    changed[cut] ^= data.draw(st.integers(1, 255))
    with suppress(ValueError):
        assert ilp4.decode_prepare(base64url.encode(bytes(changed))) != prepare


@given(st.text(max_size=100) | st.binary(max_size=100).map(base64url.encode))
def test_any_other_text_is_refused_as_no_packet(text):
    with pytest.raises(ValueError, match=r"packet|base64url|shortest"):
        ilp4.decode_prepare(text)


def test_a_connector_s_packet_is_read():
    data = base64url.decode(WRITTEN_BY_A_CONNECTOR)[-3:]
    assert data == b"\x82\x02\xf6"  # the length of the data, which would follow
    found = ilp4.decode_prepare(base64url.encode(base64url.decode(WRITTEN_BY_A_CONNECTOR) + b"e" * 0x2F6))
    assert (found.amount, found.destination, found.data) == (100000, "g.mojaloop", b"e" * 0x2F6)
    assert found.expires_at == datetime(2026, 11, 23, 23, 20, 26, 799000, tzinfo=UTC)
    assert base64url.encode(found.condition) == "m47eZfdM6rvknl4tZeZf_YUz7CgjypzVwsbpsd6rvOU"


# Versions

ISO = "application/vnd.interoperability.iso20022.{}+json"


@pytest.mark.parametrize("resource", ["fxQuotes", "fxTransfers", "participants", "parties", "quotes", "transfers"])
def test_six_resources_have_a_media_type_of_the_iso_20022_form(resource):
    media_type = ISO.format(resource)
    assert versions.read_content_type(f"{media_type};version=2.0", resource) == versions.ISO20022
    for wish in ("", ";version=2", ";version=2.0"):
        assert versions.read_accept(media_type + wish, resource) == versions.ISO20022
    assert versions.content_type(resource, versions.ISO20022) == f"{media_type};version=2.0"
    assert versions.content_type(resource, str(versions.ISO20022)) == f"{media_type};version=2.0"


def test_the_other_resources_have_not():
    plain = [name for name, resource in RESOURCES.items() if resource.iso20022 is Iso20022.NOTHING]
    assert len(plain) == len(RESOURCES) - 6
    for resource in plain:
        with pytest.raises(FspiopError, match="3101"):
            versions.read_content_type(ISO.format(resource) + ";version=2.0", resource)
        with pytest.raises(FspiopError, match="3101"):
            versions.read_accept(ISO.format(resource) + ";version=2", resource)


def test_the_form_has_one_version_and_a_refusal_says_which():
    for refuse, text in ((versions.read_content_type, ";version=1.1"), (versions.read_accept, ";version=1")):
        with pytest.raises(FspiopError) as found:
            refuse(ISO.format("quotes") + text, "quotes")
        assert (found.value.code, found.value.extensions) == ("3001", (("2", "0"),))


def test_the_first_wish_that_can_be_met_says_the_form():
    plain, iso = "application/vnd.interoperability.quotes+json", ISO.format("quotes")
    assert versions.read_accept(f"{iso};version=2, {plain};version=2", "quotes") == versions.ISO20022
    assert versions.read_accept(f"{plain};version=2, {iso};version=2", "quotes") == Version(2, 0)
    assert versions.read_accept(f"{iso};version=1, {plain};version=1", "quotes") == Version(1, 1)
