"""A DFSP with a valid key and certificate ends, alters and learns nothing of another's payment.

Green has one record of each kind in each state that waits for a message. `red` sends each of these messages, straight
and through the hub, in its own name and with its own key. Then the DFSP that was asked, or the hub, sends the message,
and is believed.
"""

import asyncio
import contextlib
import json
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from fspiop.bodies.fx_quotes import FxConversion, FxQuotePost
from fspiop.bodies.fx_transfers import FxTransferPost
from fspiop.time import format_datetime
from kitovu_connector import payment_conversion as conversion
from kitovu_connector.answering_bulk_quotes import BulkTerms
from kitovu_connector.front_end_conversion_and_bulk_states import Sent, Submission
from kitovu_connector.fxp import Conversion, ConversionEnd, ConversionState, Offer, OfferState
from kitovu_connector.incoming_bulk_records import BulkState, IncomingBulk
from kitovu_connector.payment_and_quote_records import Incoming, QuoteGiven, Stage
from kitovu_connector.payment_order import Order, PartyRef
from kitovu_connector.payment_record import Payment, State
from kitovu_connector.request_to_pay_records import RequestMade, RequestOrder, RequestReceived, RequestState
from tests.connector.hub_stub import Core, Scheme, error, quote, rows_of, scheme, terms, told, transfer
from tests.keys import CONDITION, FULFILMENT, PACKET

Sending = tuple[str, str, Any, str]
"""Method, path, body, and the sender that may send it."""

GREEN = PartyRef(id_type="MSISDN", id_value="255712001001", fsp_id="green")


def payee(number: int) -> PartyRef:
    return PartyRef(id_type="MSISDN", id_value=f"25565500{number:04}", fsp_id="blue", currencies=("KES",))


def payment(state: State, number: int, **more: Any) -> Payment:
    """A payment of green's to a customer of blue's, with blue as the FXP too."""
    ids = [str(uuid.uuid4()) for _ in range(3)]
    changes = more.pop("order", {})
    order = Order(home_id=state, payer=GREEN, payee=payee(number), amount=1_000_000, currency="TZS", **changes)
    found = Payment(
        order=order,
        transfer_id=ids[0],
        quote_id=ids[1],
        transaction_id=ids[2],
        created_at=datetime.now(UTC).timestamp(),
        state=state,
        payee=payee(number),
        condition=CONDITION,
        expires_at=datetime.now(UTC).timestamp() + 60,
    )
    return msgspec.structs.replace(found, **more)


def later() -> str:
    return format_datetime(datetime.now(UTC) + timedelta(minutes=1))


def conversion_terms(of: Payment) -> dict[str, Any]:
    return {
        "conversionId": conversion.id_of(of, "conversion"),
        "determiningTransferId": of.transfer_id,
        "initiatingFsp": "green",
        "counterPartyFsp": "blue",
        "amountType": "SEND",
        "sourceAmount": {"currency": "TZS", "amount": "100"},
        "targetAmount": {"currency": "KES"},
        "expiration": later(),
    }


class Everything:
    """Green's open records, and the messages for which they wait."""

    def __init__(self, world: Scheme) -> None:
        self.world, self.connector = world, world.connector
        self.messages: list[Sending] = []
        self.waiting: list[asyncio.Task[Any]] = []

    def both(self, path: str, body: Any, sender: str) -> None:
        """A PUT and its error."""
        self.messages += [("PUT", path, body, sender), ("PUT", path + "/error", error("5104"), sender)]

    async def fill(self) -> None:
        await self._payments()
        await self._submissions()
        self._exchanges()
        await self._received()
        await asyncio.sleep(0.1)  # every request is sent

    async def _add(self, found: Payment) -> None:
        await self.connector._store.add_payment(found)
        self.connector._payer._open[found.order.home_id] = found

    async def _payments(self) -> None:
        looked_up = payment(State.LOOKUP, 1, payee=None, owner="blue")
        await self._add(looked_up)
        info = {"partyIdType": "MSISDN", "partyIdentifier": payee(1).id_value, "fspId": "blue"}
        self.both(f"/parties/MSISDN/{payee(1).id_value}", {"party": {"partyIdInfo": info}}, "blue")
        owner = payment(State.LOOKUP, 2, payee=None)
        await self._add(msgspec.structs.replace(owner, order=msgspec.structs.replace(owner.order, home_id="owner")))
        self.both(f"/participants/MSISDN/{payee(2).id_value}", {"fspId": "blue"}, "Hub")
        quoted = payment(State.QUOTE, 3)
        await self._add(quoted)
        self.both(f"/quotes/{quoted.quote_id}", terms(), "blue")
        converts = {"may_convert": True}
        await self._add(payment(State.PROVIDERS, 4, order=converts))
        self.both("/services/FXP/TZS/KES", {"providers": ["red"]}, "Hub")
        priced = payment(State.FX_QUOTE, 5, order=converts)
        body = {"conversionRequestId": conversion.request_id(priced), "conversionTerms": conversion_terms(priced)}
        priced = msgspec.structs.replace(priced, fx_quote_body=json.dumps(body).encode())
        await self._add(priced)
        given = body["conversionTerms"] | {"targetAmount": {"currency": "KES", "amount": "200"}}
        offered = {"conversionTerms": given, "condition": CONDITION}
        self.both(f"/fxQuotes/{conversion.request_id(priced)}", offered, "blue")
        converted = payment(State.FX_TRANSFER, 6, order=converts)
        terms_of_it = {"conversionRequestId": str(uuid.uuid4()), "conversionTerms": conversion_terms(converted)}
        given = terms_of_it["conversionTerms"] | {"targetAmount": {"currency": "KES", "amount": "200"}}
        converted = msgspec.structs.replace(
            converted,
            fx_quote_body=json.dumps(terms_of_it).encode(),
            fx_quote_answer=json.dumps({"conversionTerms": given, "condition": CONDITION}).encode(),
            quote_answer=json.dumps(terms()).encode(),
        )
        await self._add(converted)
        reserved = {"conversionState": "RESERVED", "fulfilment": FULFILMENT}
        self.both(f"/fxTransfers/{conversion.commit_id(converted)}", reserved, "blue")
        request_id = str(uuid.uuid4())
        authorized = payment(
            State.AUTHORIZATION,
            7,
            order={"transaction_request_id": request_id, "needs_password": True},
            quote_answer=json.dumps(terms()).encode(),
        )
        await self._add(authorized)
        info = {"authentication": "OTP", "authenticationValue": "1234"}
        entered = {"responseType": "ENTERED", "authenticationInfo": info}
        self.both(f"/authorizations/{request_id}", entered, "blue")
        sent = payment(State.ACCEPTED, 8, accepted=True)
        await self._add(sent)
        self.both(f"/transfers/{sent.transfer_id}", told("COMMITTED"), "Hub")

    async def _submissions(self) -> None:
        for resource, body in (
            ("bulkTransfers", {"bulkTransferState": "COMPLETED", "individualTransferResults": []}),
            ("fxTransfers", {"conversionState": "RESERVED", "fulfilment": FULFILMENT}),
        ):
            record_id = str(uuid.uuid4())
            found = Submission(
                id=record_id,
                resource=resource,
                body=b"{}",
                digest=b"",
                destination="blue",
                expires_at=datetime.now(UTC).timestamp() + 60,
                conditions={record_id: CONDITION},
                created_at=0.0,
                state=Sent.ACCEPTED,
                accepted=True,
            )
            await self.connector._submissions._records[resource].add(found)
            self.both(f"/{resource}/{record_id}", body, "Hub")
        order = RequestOrder(
            home_id="r", payer=payee(9), payee=GREEN, amount=1, currency="TZS", amount_type="SEND", scenario="PAYMENT"
        )
        made = RequestMade(
            id=str(uuid.uuid4()), order=order, digest=b"", created_at=0.0, state=RequestState.ASKED, payer=payee(9)
        )
        await self.connector._requests._made.add(made)
        query = "?authenticationType=OTP&retriesLeft=1&amount=1&currency=TZS"
        self.messages.append(("GET", f"/authorizations/{made.id}{query}", None, "blue"))
        self.both(f"/transactionRequests/{made.id}", {"transactionRequestState": "ACCEPTED"}, "blue")

    def _exchanges(self) -> None:
        """Calls of the front end that wait for a callback."""
        ids = {resource: str(uuid.uuid4()) for resource in ("quotes", "fxQuotes", "bulkQuotes", "transactionRequests")}
        bulk = {"expiration": later(), "individualQuoteResults": []}
        offered = {"conversionTerms": conversion_terms(payment(State.LOOKUP, 0)), "condition": CONDITION}
        for resource, body in (("quotes", terms()), ("fxQuotes", offered), ("bulkQuotes", bulk)):
            self._wait((resource, ids[resource]), f"/{resource}", "blue")
            self.messages.append(("PUT", f"/{resource}/{ids[resource]}", body, "blue"))
            self._wait((resource, ids[resource] + "x"), f"/{resource}", "blue")
            self.messages.append(("PUT", f"/{resource}/{ids[resource]}x/error", error("5104"), "blue"))
        self._wait(("services", "FXP"), "/services/FXP", None)
        self.both("/services/FXP", {"providers": ["red"]}, "Hub")
        info = {"partyIdType": "MSISDN", "partyIdentifier": "1", "fspId": "green"}
        batch = str(uuid.uuid4())
        self._wait(("participants", batch), "/participants", None)
        self.both(f"/participants/{batch}", {"partyList": [{"partyId": info}]}, "Hub")
        asked = str(uuid.uuid4())
        self._wait(("transfers", asked), f"/transfers/{asked}", None)
        self.messages.append(("PUT", f"/transfers/{asked}", told("COMMITTED"), "Hub"))

    def _wait(self, key: tuple[str, str], path: str, destination: str | None) -> None:
        work = self.connector._exchanges.ask(key, "GET", path, destination=destination)
        self.waiting.append(asyncio.create_task(work))

    async def _received(self) -> None:
        """Payments of blue's to green, and conversions that green makes for blue."""
        far = datetime.now(UTC).timestamp() + 60
        store, fxp = self.connector._store, self.connector._fxp
        incoming = Incoming(
            transfer_id=str(uuid.uuid4()),
            digest=b"",
            payer_fsp="blue",
            body=b"{}",
            expires_at=far,
            stage=Stage.FULFILLED,
        )
        await store.add_incoming(incoming)
        path = f"/transfers/{incoming.transfer_id}"
        self.messages.append(("PATCH", path, told("ABORTED"), "Hub"))
        self.messages.append(("PUT", path, told("ABORTED"), "Hub"))
        self.messages.append(("PUT", path + "/error", error("3303"), "Hub"))
        item = {"transferId": str(uuid.uuid4()), "transferAmount": {"currency": "TZS", "amount": "5"}}
        bulk = {
            "bulkTransferId": str(uuid.uuid4()),
            "bulkQuoteId": str(uuid.uuid4()),
            "payerFsp": "blue",
            "payeeFsp": "green",
            "expiration": later(),
            "individualTransfers": [item | {"ilpPacket": PACKET, "condition": CONDITION}],
        }
        received = IncomingBulk(
            id=bulk["bulkTransferId"],
            payer_fsp="blue",
            body=json.dumps(bulk).encode(),
            digest=b"",
            expires_at=far,
            state=BulkState.ANSWERED,
        )
        await self.connector._bulk_payee._bulks.add(received)
        path = f"/bulkTransfers/{received.id}"
        self.both(path, {"bulkTransferState": "REJECTED"}, "Hub")
        converted = Conversion(
            id=str(uuid.uuid4()),
            source="blue",
            body=b"{}",
            digest=b"",
            expires_at=far,
            state=ConversionState.RESERVED,
        )
        await fxp._conversions.add(converted)
        path = f"/fxTransfers/{converted.id}"
        self.messages.append(("PATCH", path, {"conversionState": "ABORTED"}, "Hub"))
        self.messages.append(("PUT", path, {"conversionState": "ABORTED"}, "Hub"))
        self.messages.append(("PUT", path + "/error", error("3303"), "Hub"))
        quotes = IncomingBulk(
            id=str(uuid.uuid4()), payer_fsp="blue", body=b"{}", digest=b"", state=BulkState.ENDED, answer=b"{}"
        )
        await _quotes_of(self.world).add(quotes)
        self.messages.append(("GET", f"/bulkQuotes/{quotes.id}", None, "blue"))

    def records(self) -> dict[str, list[Any]]:
        """All that green has stored."""
        tables = ("payment", "quote", "incoming", "exchange")
        return {table: rows_of(self.connector, f"SELECT * FROM {table}") for table in tables}


def _quotes_of(world: Scheme) -> Any:
    part = world.connector._bulk_terms
    assert isinstance(part, BulkTerms)
    return part._quotes


@contextlib.asynccontextmanager
async def everything(folder: Path, proof: str) -> AsyncIterator[Everything]:
    async with scheme(folder, proof, agree_s=60.0, ask_again_s=50.0, callback_s=50.0) as world:
        world.answers.clear()
        found = Everything(world)
        await found.fill()
        yield found
        for task in found.waiting:
            task.cancel()


@pytest.mark.parametrize("proof", ["signatures", "pinned", "both"])
def test_a_stranger_ends_and_alters_nothing_by_any_message_of_any_kind_of_payment(tmp_path: Path, proof: str) -> None:
    async def story() -> None:
        async with everything(tmp_path, proof) as green:
            world, before = green.world, green.records()
            for method, path, body, right in green.messages:
                status = await world.straight(method, path, body, "red")
                assert status == (403 if world.config.is_pinned else 400), (method, path)
                if right == "Hub":  # nor does the other DFSP of the payment, where only the hub decides
                    if _is_about_a_sent_transfer(green, path):
                        continue  # a claim of the payee's DFSP makes the connector ask the hub
                    assert await world.straight(method, path, body, "blue") == status, (method, path)
                elif not path.startswith("/parties"):  # the hub passes on none but of the DFSP that it has asked
                    assert await world.hub_passes_on(method, path, body, "red") == 400, (method, path)
            await asyncio.sleep(0.1)
            assert green.records() == before
            assert not any(task.done() for task in green.waiting)
            # The right senders are believed.
            for method, path, body, right in green.messages:
                if right == "Hub":
                    status = await world.hub_says(method, path, body)
                else:
                    status = await world.hub_passes_on(method, path, body, right)
                assert status in (200, 202), (method, path)
            await asyncio.gather(*green.waiting, return_exceptions=True)
            states = {row[0]: row[4] for row in green.records()["payment"]}
            assert all(states[name] != name for name in ("QUOTE", "PROVIDERS", "FX_QUOTE", "FX_TRANSFER", "ACCEPTED"))

    asyncio.run(asyncio.wait_for(story(), 30))


def _is_about_a_sent_transfer(green: Everything, path: str) -> bool:
    """Claims of the payment's own payee DFSP are in test_message_trust, test_front_end_conversion_and_bulk_states and
    test_proven_payment."""
    sent = [found.transfer_id for found in green.connector._payer._open.values() if found.state is State.ACCEPTED]
    submitted = [row[1] for row in green.records()["exchange"] if row[0] in ("bulkTransfers", "fxTransfers")]
    return any(record_id in path for record_id in (*sent, *submitted))


class Exchanger(Core):
    """A core that converts too. None of these calls may be made."""

    async def give_conversion_terms(self, asked: FxQuotePost) -> FxConversion:
        raise AssertionError

    async def reserve_conversion(self, asked: FxTransferPost, *, is_repeated: bool) -> None:
        raise AssertionError

    async def end_conversion(self, commit_request_id: str, end: ConversionEnd) -> None:
        raise AssertionError


def test_a_request_under_the_id_of_anothers_request_is_refused_and_gets_no_answer(tmp_path: Path) -> None:
    """Whoever knows an id of blue's cannot have blue's terms or fulfilments by it."""

    async def story() -> None:
        core = Exchanger()
        async with scheme(tmp_path, "signatures") as world:
            await world.stop()
            world.core = core
            await world.start()
            asked = quote()
            assert await world.hub_passes_on("POST", "/quotes", asked) == 202
            await world.until("PUT", f"/quotes/{asked['quoteId']}")
            sent = transfer(world.bodies("PUT", f"/quotes/{asked['quoteId']}")[0])
            assert await world.hub_passes_on("POST", "/transfers", sent) == 202
            await world.until("PUT", f"/transfers/{sent['transferId']}")
            far = datetime.now(UTC).timestamp() + 60
            bulk_id, bulk_quote_id, offer_id, commit_id, request_id = (str(uuid.uuid4()) for _ in range(5))
            await _quotes_of(world).add(
                IncomingBulk(id=bulk_quote_id, payer_fsp="blue", body=b"", digest=b"b", state=BulkState.ENDED)
            )
            await world.connector._bulk_payee._bulks.add(
                IncomingBulk(id=bulk_id, payer_fsp="blue", body=b"", digest=b"b", state=BulkState.ENDED)
            )
            fxp = world.connector._fxp
            await fxp._offers.add(Offer(id=offer_id, source="blue", body=b"", digest=b"b", state=OfferState.ANSWERED))
            ended = ConversionState.ENDED
            await fxp._conversions.add(
                Conversion(id=commit_id, source="blue", body=b"", digest=b"b", expires_at=far, state=ended)
            )
            await world.connector._requests._received.add(
                RequestReceived(id=request_id, payee_fsp="blue", body=b"", digest=b"b", state=RequestState.ANSWERED)
            )
            quote_id = str(uuid.uuid4())
            await world.connector._store.add_quote(
                QuoteGiven(quote_id=quote_id, digest=b"b", request=b"", payer_fsp="blue", is_taken=True)
            )
            payer = {"partyIdInfo": asked["payer"]["partyIdInfo"] | {"fspId": "red"}}
            item = {name: value for name, value in asked.items() if name != "payer"}
            terms_of_it = conversion_terms(payment(State.LOOKUP, 0))
            terms_of_it |= {"initiatingFsp": "red", "counterPartyFsp": "green"}
            amounts = {"sourceAmount": {"currency": "TZS", "amount": "5"}}
            amounts |= {"targetAmount": {"currency": "KES", "amount": "1"}}
            parties = {"initiatingFsp": "red", "counterPartyFsp": "green", "determiningTransferId": str(uuid.uuid4())}
            single = {"transferId": str(uuid.uuid4()), "transferAmount": amounts["sourceAmount"]}
            bulk = {
                "bulkTransferId": bulk_id,
                "bulkQuoteId": bulk_quote_id,
                "payerFsp": "red",
                "payeeFsp": "green",
                "expiration": later(),
                "individualTransfers": [single | {"ilpPacket": PACKET, "condition": CONDITION}],
            }
            request = {
                "transactionRequestId": request_id,
                "payee": payer,
                "payer": asked["payee"]["partyIdInfo"],
                "amount": asked["amount"],
                "transactionType": asked["transactionType"],
            }
            commitment = {"commitRequestId": commit_id, "condition": CONDITION, "expiration": later()}
            before = [found for found in world.asked if found[0] == "PUT"]
            for path, body in (
                ("/quotes", asked | {"payer": payer}),
                ("/quotes", asked | {"payer": payer, "quoteId": quote_id}),
                ("/transfers", sent | {"payerFsp": "red"}),
                ("/bulkQuotes", {"bulkQuoteId": bulk_quote_id, "payer": payer, "individualQuotes": [item]}),
                ("/bulkTransfers", bulk),
                ("/fxQuotes", {"conversionRequestId": offer_id, "conversionTerms": terms_of_it}),
                ("/fxTransfers", parties | amounts | commitment),
                ("/transactionRequests", request),
            ):
                assert await world.hub_passes_on("POST", path, body, "red") == 400, path
                assert await world.straight("POST", path, body, "red") == 400, path
            for path in (f"/quotes/{asked['quoteId']}", f"/transfers/{sent['transferId']}", f"/fxQuotes/{offer_id}"):
                assert await world.straight("GET", path, None, "red") in (400, 404), path  # no answer is given twice
            assert await world.straight("GET", f"/bulkQuotes/{bulk_quote_id}", None, "red") == 400
            await asyncio.sleep(0.2)
            assert [found for found in world.asked if found[0] == "PUT"] == before
            assert len(core.reserved) == 1

    asyncio.run(asyncio.wait_for(story(), 30))
