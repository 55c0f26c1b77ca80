"""A customer of the certifier. The DFSP pays this customer. The certifier answers the DFSP's lookup, request for terms
and transfer in the customer's name."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fspiop import base64url, bodies, ilp, money
from fspiop.bodies.bulk_quotes import BulkQuotePost, IndividualQuote
from fspiop.bodies.common import Money
from fspiop.bodies.quotes import QuotePost
from fspiop.errors import error_body
from hub.test_currency import TEST_CURRENCY
from portal.certification.api_timestamps import moment
from portal.certification.recorded_requests import wait_for_news

if TYPE_CHECKING:
    from portal.certification.counterpart import Received
    from portal.certification.running_case import Scene

TERMS_S = 120.0
_SECRET = b"the certifier pays nobody, so its secret protects nothing"


@dataclass(frozen=True, slots=True)
class Terms:
    """The terms that the certifier offered."""

    quote_id: str
    transaction_id: str
    amount: dict[str, str]
    packet: str
    condition: str

    @property
    def fulfilment(self) -> str:
        return ilp.fulfilment_for(self.packet, _SECRET)

    def has_packet(self, packet: str) -> bool:
        """Returns whether a transfer has the packet of the terms. The padding at the end makes no difference."""
        return packet.rstrip("=") == self.packet.rstrip("=")


@dataclass
class Play:
    """One customer of the certifier in one case. `on_transfer` replaces the answer to POST /transfers."""

    scene: "Scene"
    alias: str
    is_known: bool = True
    on_transfer: "Callable[[Play, Received, Terms], Awaitable[None]] | None" = None
    lookups: "list[Received]" = field(default_factory=list)
    quotes: "list[Received]" = field(default_factory=list)
    transfers: "list[Received]" = field(default_factory=list)
    requests: "list[Received]" = field(default_factory=list)
    bulk_transfers: "list[Received]" = field(default_factory=list)
    terms: dict[str, Terms] = field(default_factory=dict)  # by condition
    news: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def take(self, received: "Received") -> None:
        """Answers a message of the DFSP."""
        resource = received.path.split("/")[1].partition("?")[0]
        if received.method == "GET" and resource == "parties":
            await self._note(self.lookups, received)
            await self._tell_party(received)
        elif received.method == "POST" and resource == "quotes":
            await self._note(self.quotes, received)
            await self._offer(received)
        elif received.method == "POST" and resource == "transfers":
            terms = self.terms[received.json["condition"]]
            self.scene.ids.add(received.json["transferId"])
            await self._note(self.transfers, received)
            await (self.on_transfer or fulfil)(self, received, terms)
        elif received.method == "POST" and resource == "transactionRequests":
            self.scene.ids.add(received.json["transactionRequestId"])
            await self._note(self.requests, received)

        elif received.method == "POST" and resource == "bulkQuotes":
            await self._offer_bulk(received)
        elif received.method == "POST" and resource == "bulkTransfers":
            await self._fulfil_bulk(received)

    async def _note(self, place: "list[Received]", received: "Received") -> None:
        async with self.news:
            place.append(received)
            self.news.notify_all()

    async def wait(self, place: "list[Received]", *, seconds: float, count: int = 1) -> "list[Received]":
        """Waits until this list has `count` different messages, but at most for `seconds`. Returns the messages in the
        list. The hub can deliver a message twice."""
        patience = self.scene.wait(seconds)
        async with self.news:
            while len({each.body or each.path for each in place}) < count and (left := patience.left()) > 0:
                await wait_for_news(self.news, left)
        return list(place)

    async def _tell_party(self, received: "Received") -> None:
        path = received.path
        if not self.is_known:
            await self.scene.send("PUT", f"{path}/error", error_body("3204", "Party not found"))
            return
        party = {
            "partyIdInfo": {"partyIdType": "MSISDN", "partyIdentifier": self.alias, "fspId": self.scene.certifier},
            "name": "Certification Payee",
            "personalInfo": {"complexName": {"firstName": "Certification", "lastName": "Payee"}},
        }
        await self.scene.send("PUT", path, {"party": party})

    async def _offer(self, received: "Received") -> None:
        asked = bodies.read(QuotePost, received.body)
        terms = self._terms(asked.quote_id, asked.transaction_id, asked.amount, asked)
        body: dict[str, Any] = {
            "transferAmount": terms.amount,
            "payeeReceiveAmount": terms.amount,
            "expiration": moment(TERMS_S),
            "ilpPacket": terms.packet,
            "condition": terms.condition,
        }
        await self.scene.send("PUT", f"/quotes/{asked.quote_id}", body)

    def _terms(self, quote_id: str, transaction_id: str, amount: Money, asked: "QuotePost | IndividualQuote") -> Terms:
        self.scene.ids |= {quote_id, transaction_id}
        minor = money.minor_units(money.parse_amount(amount.amount), amount.currency)
        packet = ilp.encode_payment(
            ilp.IlpPayment(
                amount=minor,
                account=f"g.{TEST_CURRENCY.lower()}.{self.scene.certifier}.msisdn.{self.alias}",
                data=base64url.encode(bodies.write(asked)).encode(),
            )
        )
        condition = ilp.condition_for(ilp.fulfilment_for(packet, _SECRET))
        plain = {"amount": amount.amount, "currency": amount.currency}
        terms = self.terms[condition] = Terms(quote_id, transaction_id, plain, packet, condition)
        self.scene.run.conditions[condition] = self
        return terms

    async def _offer_bulk(self, received: "Received") -> None:
        asked = bodies.read(BulkQuotePost, received.body)
        self.scene.ids.add(asked.bulk_quote_id)
        offered = [
            self._terms(each.quote_id, each.transaction_id, each.amount, each) for each in asked.individual_quotes
        ]
        results = [
            {
                "quoteId": terms.quote_id,
                "transferAmount": terms.amount,
                "payeeReceiveAmount": terms.amount,
                "ilpPacket": terms.packet,
                "condition": terms.condition,
            }
            for terms in offered
        ]
        body = {"expiration": moment(TERMS_S), "individualQuoteResults": results}
        await self.scene.send("PUT", f"/bulkQuotes/{asked.bulk_quote_id}", body)

    async def _fulfil_bulk(self, received: "Received") -> None:
        items = received.json["individualTransfers"]
        bulk_id = received.json["bulkTransferId"]
        self.scene.ids |= {bulk_id, *(item["transferId"] for item in items)}
        await self._note(self.bulk_transfers, received)
        results = [
            {"transferId": item["transferId"], "fulfilment": self.terms[item["condition"]].fulfilment} for item in items
        ]
        body = {
            "bulkTransferState": "COMPLETED",
            "completedTimestamp": moment(-0.05),
            "individualTransferResults": results,
        }
        await self.scene.send("PUT", f"/bulkTransfers/{bulk_id}", body)


async def fulfil(play: Play, received: "Received", terms: Terms) -> None:
    """Gives the usual answer to a transfer."""
    await play.scene.send("PUT", f"/transfers/{received.json['transferId']}", fulfilment_of(terms))


async def reject(play: Play, received: "Received", _: Terms) -> None:
    """Refuses a transfer."""
    path = f"/transfers/{received.json['transferId']}/error"
    await play.scene.send("PUT", path, error_body("5104", "Payee FSP rejected the transaction"))


async def keep_silent(_: Play, __: "Received", ___: Terms) -> None:
    """Gives no answer to a transfer, so that the transfer expires."""


def fulfilment_of(terms: Terms) -> dict[str, Any]:
    return {
        "transferState": "COMMITTED",
        "fulfilment": terms.fulfilment,
        "completedTimestamp": moment(-0.05),
    }
