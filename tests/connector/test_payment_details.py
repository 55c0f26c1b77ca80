"""What a connector makes out of what it was asked says the same, whole: packet, terms, the quote, the core's own words.

The ILP packet is what both sides sign for and what rules judge a payment by.
"""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
from aiohttp import web
from hypothesis import given, settings
from hypothesis import strategies as st

from fspiop import base64url, bodies, ilp
from fspiop.bodies.common import Party
from fspiop.bodies.quotes import QuotePost, QuotePut
from hub.local.net import free_port
from kitovu_connector import payee_terms
from kitovu_connector.backend import HttpBackend, PartyDetails, Terms
from kitovu_connector.config import Config
from kitovu_connector.payment_and_quote_records import QuoteGiven
from kitovu_connector.payment_order import party_of, ref_of
from ledger import ilp_packets
from tests.connector.hub_stub import PAYEE, Scheme, config_of, quote, scheme, transfer
from tests.examples import examples

EXTENSIONS = {"extension": [{"key": "purpose", "value": "RENT"}, {"key": "branch", "value": "Zoë's"}]}
PAYER = {
    "partyIdInfo": {
        "partyIdType": "BUSINESS",
        "partyIdentifier": "Mkate Ltd",
        "partySubIdOrType": "till 4",
        "fspId": "blue",
        "extensionList": {"extension": [{"key": "licence", "value": "77"}]},
    },
    "merchantClassificationCode": "5411",
    "name": "Mkate",
    "personalInfo": {
        "complexName": {"firstName": "Juma", "middleName": "K", "lastName": "Mkate"},
        "dateOfBirth": "1980-02-29",
        "kycInformation": '{"tin":"123"}',
    },
    "supportedCurrencies": ["TZS", "KES"],
}
OWN = {
    "partyIdInfo": {"partyIdType": "MSISDN", "partyIdentifier": "255712001001", "partySubIdOrType": "wallet"},
    "name": "Asha",
    "personalInfo": {"complexName": {"firstName": "Asha"}},
}
REFUND = {"originalTransactionId": "b51ec534-ee48-4575-b6a9-ead2955b8069", "refundReason": "broken"}
KIND = {
    "scenario": "PAYMENT",
    "initiator": "PAYEE",
    "initiatorType": "BUSINESS",
    "subScenario": "LOCALLY_DEFINED",
    "refundInfo": REFUND,
    "balanceOfPayments": "123",
}
WHOLE = {
    "payer": PAYER,
    "payee": OWN,
    "transactionType": KIND,
    "note": "March",
    "extensionList": EXTENSIONS,
    "fees": {"currency": "TZS", "amount": "1"},
    "geoCode": {"latitude": "-6.8", "longitude": "39.2"},
    "transactionRequestId": "b51ec534-ee48-4575-b6a9-ead2955b8069",
    "expiration": "2099-01-01T00:00:00.000Z",
}


def offered(asked: dict[str, Any], given_: Terms, config: Config) -> tuple[QuotePut, dict[str, Any]]:
    """The connector's answer to a quote, and the Transaction in its packet."""
    raw = json.dumps(asked).encode()
    stored = QuoteGiven(quote_id=asked["quoteId"], digest=b"", request=raw, payer_fsp="blue")
    found = payee_terms.offer(stored, payee_terms.wanted_of(stored, "green"), given_, config, now=1_800_000_000)
    packet = ilp.decode_payment(found.packet)
    return bodies.read(QuotePut, found.answer), json.loads(base64url.decode(packet.data.decode()))


def with_fsp(party: dict[str, Any], fsp_id: str) -> dict[str, Any]:
    return party | {"partyIdInfo": party["partyIdInfo"] | {"fspId": fsp_id}}


def test_the_packet_says_what_was_asked_whole(tmp_path: Path) -> None:
    asked = quote(**WHOLE)
    answer, said = offered(asked, Terms(receive_amount="98", fee="2"), config_of(tmp_path, "nothing"))
    assert said == {
        "transactionId": asked["transactionId"],
        "quoteId": asked["quoteId"],
        "payer": PAYER,
        "payee": with_fsp(OWN, "green"),
        "amount": {"currency": "TZS", "amount": "100"},
        "transactionType": KIND,
        "note": "March",
        "extensionList": EXTENSIONS,
    }
    assert (answer.transfer_amount.amount, answer.ilp_packet.rstrip("=")) == ("100", answer.ilp_packet)
    found = ilp_packets.read(answer.ilp_packet)
    assert ilp_packets.fault_of(found, amount=1_000_000, currency="TZS", payee="green") is None
    assert ilp.decode_payment(answer.ilp_packet).account == "g.green.msisdn.255712001001"


@pytest.mark.parametrize("left_out", sorted(WHOLE.keys() - {"payer", "payee", "transactionType"}))
def test_the_packet_adds_nothing_that_was_not_asked(tmp_path: Path, left_out: str) -> None:
    asked = quote(**{name: value for name, value in WHOLE.items() if name != left_out})
    _, said = offered(asked, Terms(receive_amount="100"), config_of(tmp_path, "nothing"))
    assert said.keys() == {
        *("transactionId", "quoteId", "payer", "payee", "amount", "transactionType", "note", "extensionList")
    } - {left_out}


kinds = st.fixed_dictionaries(
    {
        "scenario": st.sampled_from(["DEPOSIT", "WITHDRAWAL", "TRANSFER", "PAYMENT", "REFUND"]),
        "initiator": st.sampled_from(["PAYER", "PAYEE"]),
        "initiatorType": st.sampled_from(["CONSUMER", "AGENT", "BUSINESS", "DEVICE"]),
    },
    optional={
        "subScenario": st.from_regex(r"\A[A-Z_]{1,32}\Z"),
        "balanceOfPayments": st.from_regex(r"\A[1-9][0-9]{2}\Z"),
        "refundInfo": st.just(REFUND),
    },
)


@settings(max_examples=examples(100), deadline=None)
@given(kind=kinds, note=st.text("aé☃ ", min_size=1, max_size=128), amount_type=st.sampled_from(["SEND", "RECEIVE"]))
def test_whatever_kind_of_payment_was_asked_is_what_the_packet_says(
    tmp_path_factory: pytest.TempPathFactory, kind: dict[str, Any], note: str, amount_type: str
) -> None:
    config = Config(dfsp="green", hub_url="http://h", state=Path(), ilp_secret="s" * 16)
    asked = quote(transactionType=kind, note=note, amountType=amount_type)
    _, said = offered(asked, Terms(receive_amount="100"), config)
    assert (said["transactionType"], said["note"], said["payer"]) == (kind, note, asked["payer"])


def test_an_alias_in_any_letters_has_an_address(tmp_path: Path) -> None:
    for identifier in ("Zoë@example.org", "a b", "x/y"):
        payee = {"partyIdInfo": {"partyIdType": "EMAIL", "partyIdentifier": identifier}}
        _, said = offered(quote(payee=payee), Terms(receive_amount="1"), config_of(tmp_path, "nothing"))
        assert said["payee"]["partyIdInfo"]["partyIdentifier"] == identifier


@pytest.mark.parametrize("party", [PAYER, OWN, {"partyIdInfo": {"partyIdType": "IBAN", "partyIdentifier": "X"}}])
def test_a_party_is_kept_whole(party: dict[str, Any]) -> None:
    read = msgspec.convert(party, Party)
    assert json.loads(bodies.write(party_of(ref_of(read)))) == party


def test_every_field_that_the_api_gives_a_quote_reaches_packet_or_core() -> None:
    """A field that the API adds to POST /quotes is to be thought of here."""
    to_packet = {"quote_id", "transaction_id", "payee", "payer", "transaction_type", "note", "extension_list"}
    to_core = {"amount", "amount_type", "fees", "geo_code", "expiration", "transaction_request_id", "converter"}
    assert set(QuotePost.__struct_fields__) == to_packet | to_core | {"currency_conversion"}


# --- what the core is told --------------------------------------------------------------------------------------------


def test_the_core_is_told_what_was_asked_and_what_is_paid_whole(tmp_path: Path) -> None:
    told: list[tuple[str, str, dict[str, Any]]] = []

    async def core(request: web.Request) -> web.Response:
        told.append((request.method, request.path, await request.json()))
        return web.json_response({"payeeReceiveAmount": "98", "payeeFspFeeAmount": "2"})

    async def run() -> None:
        app = web.Application()
        app.router.add_route("*", "/{rest:.*}", core)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        port = free_port()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        async with HttpBackend(f"http://127.0.0.1:{port}") as backend, scheme(tmp_path, "nothing") as world:
            world.connector._payee._backend = backend
            asked = quote(**WHOLE)
            assert await world.hub_passes_on("POST", "/quotes", asked) == 202
            await world.until("PUT", f"/quotes/{asked['quoteId']}")
            body = transfer(world.bodies("PUT", f"/quotes/{asked['quoteId']}")[0], extensionList=EXTENSIONS)
            assert await world.hub_passes_on("POST", "/transfers", body) == 202
            path = f"/transfers/{body['transferId']}"
            await world.until("PUT", path)
            assert await world.hub_says("PATCH", path, _committed()) == 200
            for _ in range(200):
                if len(told) == 3:
                    break
                await asyncio.sleep(0.02)
            payer = {
                "idType": "BUSINESS",
                "idValue": "Mkate Ltd",
                "idSubValue": "till 4",
                "fspId": "blue",
                "displayName": "Mkate",
                "firstName": "Juma",
                "middleName": "K",
                "lastName": "Mkate",
                "dateOfBirth": "1980-02-29",
                "kycInformation": '{"tin":"123"}',
                "merchantClassificationCode": "5411",
                "supportedCurrencies": ["TZS", "KES"],
                "extensionList": [{"key": "licence", "value": "77"}],
            }
            payee = {
                "idType": "MSISDN",
                "idValue": "255712001001",
                "idSubValue": "wallet",
                "fspId": "green",
                "displayName": "Asha",
                "firstName": "Asha",
            }
            common = {
                "quoteId": asked["quoteId"],
                "transactionId": asked["transactionId"],
                "from": payer,
                "to": payee,
                "amountType": "SEND",
                "transactionType": "PAYMENT",
                "subScenario": "LOCALLY_DEFINED",
                "initiator": "PAYEE",
                "initiatorType": "BUSINESS",
                "refundInfo": REFUND,
                "balanceOfPayments": "123",
                "note": "March",
            }
            extensions = EXTENSIONS["extension"]
            amounts = {"amount": "100", "payeeReceiveAmount": "98", "payeeFspFeeAmount": "2", "currency": "TZS"}
            assert told == [
                (
                    "POST",
                    "/quoterequests",
                    common
                    | {
                        "amount": "100",
                        "currency": "TZS",
                        "feesAmount": "1",
                        "feesCurrency": "TZS",
                        "geoCode": WHOLE["geoCode"],
                        "expiration": WHOLE["expiration"],
                        "transactionRequestId": WHOLE["transactionRequestId"],
                        "extensionList": extensions,
                    },
                ),
                (
                    "POST",
                    "/transfers",
                    common
                    | amounts
                    | {
                        "transferId": body["transferId"],
                        "quoteRequestExtensions": extensions,
                        "transferRequestExtensions": extensions,
                    },
                ),
                ("PUT", path, {"transferState": "COMMITTED", "to": payee} | amounts),
            ]
        await runner.cleanup()

    asyncio.run(run())


def _committed() -> dict[str, Any]:
    return {"transferState": "COMMITTED", "completedTimestamp": "2026-01-01T00:00:00.000Z"}


# --- what the core asks -----------------------------------------------------------------------------------------------


def test_a_quote_asks_for_what_the_core_wants_whole(tmp_path: Path) -> None:
    wanted = {
        "homeTransactionId": "R",
        "from": {
            "idType": "MSISDN",
            "idValue": "255712001001",
            "displayName": "Asha",
            "firstName": "Asha",
            "middleName": "B",
            "lastName": "C",
            "dateOfBirth": "1990-01-01",
            "kycInformation": "k",
            "merchantClassificationCode": "5411",
            "extensionList": [{"key": "k", "value": "v"}],
        },
        "to": {"idType": "MSISDN", "idValue": PAYEE},
        "amount": "5",
        "currency": "TZS",
        "transactionType": "REFUND",
        "subScenario": "RENT",
        "initiator": "PAYEE",
        "initiatorType": "AGENT",
        "refundInfo": REFUND,
        "balanceOfPayments": "123",
        "note": "lunch",
        "quoteRequestExtensions": EXTENSIONS["extension"],
        "transferRequestExtensions": [{"key": "t", "value": "x"}],
    }

    async def story(world: Scheme, core: aiohttp.ClientSession) -> None:
        world.answers.discard("parties")
        async with core.post(f"http://127.0.0.1:{world.config.outbound_port}/payments", json=wanted) as answer:
            assert answer.status == 202
        await world.until("GET", "/parties")
        described = {
            "partyIdInfo": {"partyIdType": "MSISDN", "partyIdentifier": PAYEE, "fspId": "blue"},
            "merchantClassificationCode": "8211",
            "name": "School",
            "personalInfo": {"complexName": {"lastName": "School"}, "dateOfBirth": "1970-01-01"},
            "supportedCurrencies": ["TZS"],
        }
        assert await world.hub_passes_on("PUT", f"/parties/MSISDN/{PAYEE}", {"party": described}) == 200
        await world.until("POST", "/transfers")
        (asked,), (sent,) = world.bodies("POST", "/quotes"), world.bodies("POST", "/transfers")
        assert asked["payee"] == described
        assert asked["payer"] == {
            "partyIdInfo": {
                "partyIdType": "MSISDN",
                "partyIdentifier": "255712001001",
                "fspId": "green",
                "extensionList": {"extension": [{"key": "k", "value": "v"}]},
            },
            "merchantClassificationCode": "5411",
            "name": "Asha",
            "personalInfo": {
                "complexName": {"firstName": "Asha", "middleName": "B", "lastName": "C"},
                "dateOfBirth": "1990-01-01",
                "kycInformation": "k",
            },
        }
        assert asked["transactionType"] == KIND | {
            "scenario": "REFUND",
            "subScenario": "RENT",
            "initiator": "PAYEE",
            "initiatorType": "AGENT",
        }
        assert (asked["note"], asked["extensionList"]) == ("lunch", EXTENSIONS)
        assert sent["extensionList"] == {"extension": [{"key": "t", "value": "x"}]}

    _tell(tmp_path, story)


@pytest.mark.parametrize(
    "unknown",
    [
        {"feesAmount": "1"},
        {"scenario": "PAYMENT"},
        {"from": {"idType": "MSISDN", "idValue": "1", "title": "Dr"}},
        {"transactionType": "GIFT"},
    ],
)
def test_what_would_be_left_out_is_refused(tmp_path: Path, unknown: dict[str, Any]) -> None:
    wanted = {
        "homeTransactionId": "R",
        "from": {"idType": "MSISDN", "idValue": "1"},
        "to": {"idType": "MSISDN", "idValue": PAYEE},
        "amount": "5",
        "currency": "TZS",
    }

    async def story(world: Scheme, core: aiohttp.ClientSession) -> None:
        url = f"http://127.0.0.1:{world.config.outbound_port}/payments"
        async with core.post(url, json=wanted | unknown) as answer:
            assert answer.status == 400
        assert world.asked == []

    _tell(tmp_path, story)


def test_a_customer_is_described_as_the_core_describes_it(tmp_path: Path) -> None:
    class Known:
        async def find_party(self, id_type: str, id_value: str, sub_id: str | None) -> PartyDetails:
            return PartyDetails(
                name="Mkate",
                first_name="Juma",
                middle_name="K",
                last_name="Mkate",
                date_of_birth="1980-02-29",
                kyc_information='{"tin":"123"}',
                merchant_classification_code="5411",
                currencies=("TZS", "KES"),
                extensions=(("licence", "77"),),
            )

    async def story(world: Scheme, core: aiohttp.ClientSession) -> None:
        world.connector._parties._backend = Known()  # type: ignore[assignment]
        assert await world.hub_passes_on("GET", "/parties/BUSINESS/Mkate%20Ltd/till%204", None) == 202
        path = "/parties/BUSINESS/Mkate Ltd/till 4"
        await world.until("PUT", path)
        assert world.bodies("PUT", path)[0]["party"] == with_fsp(PAYER, "green")

    _tell(tmp_path, story)


def test_iso_20022_is_refused_with_406(tmp_path: Path) -> None:
    async def story(world: Scheme, core: aiohttp.ClientSession) -> None:
        media_type = "application/vnd.interoperability.iso20022.quotes+json;version=2"
        headers = {"Content-Type": media_type + ".0", "Accept": media_type, "Date": "Tue, 24 Nov 2026 08:00:00 GMT"}
        url = f"http://localhost:{world.config.inbound_port}/quotes"
        names = {"FSPIOP-Source": "blue", "FSPIOP-Destination": "green"}
        async with core.post(url, json={}, headers=headers | names) as answer:
            assert (answer.status, (await answer.json())["errorInformation"]["errorCode"]) == (406, "3001")

    _tell(tmp_path, story)


def _tell(folder: Path, story: Callable[[Scheme, aiohttp.ClientSession], Any]) -> None:
    async def run() -> None:
        async with scheme(folder, "nothing", answer_s=0.2) as world, aiohttp.ClientSession() as core:
            await story(world, core)

    asyncio.run(run())
