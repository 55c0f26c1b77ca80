"""An example of each message in the ISO 20022 form, for the FSPIOP document. The content is that of the examples in the
plain form, but the ids are ULIDs, as in the ISO 20022 form of other hubs."""

import hashlib
import json
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any

from fspiop import base64url, bodies, correlation_ids, iso20022, resources, time
from fspiop.bodies.fx_quotes import FxQuotePost, FxQuotePut
from fspiop.bodies.fx_transfers import FxTransferPost
from fspiop.bodies.parties import PartyPut
from fspiop.bodies.quotes import QuotePost, QuotePut
from fspiop.bodies.transfers import TransferPost
from fspiop.iso20022 import ilp4
from fspiop.iso20022.writing_requests_and_answers import Envelope, write
from hub.api.fspiop_examples import ERRORS, EXAMPLES, FXP, PAYEE, PAYER

_DATE = datetime(2026, 11, 24, 8, 0, tzinfo=UTC)


def _id(name: str) -> str:
    number = int.from_bytes(hashlib.sha256(name.encode()).digest(), "big")
    return correlation_ids.ulid(int(_DATE.timestamp() * 1000), number)


_QUOTE_ID, _TRANSFER_ID = _id("quote"), _id("transfer")
_REQUEST_ID, _CONVERSION_ID = _id("conversion request"), _id("conversion")
_PARTY, _QUOTE, _TRANSFER = "/parties/{id_type}/{identifier}", "/quotes/{quote_id}", "/transfers/{transfer_id}"
_FX_QUOTE, _FX_TRANSFER = "/fxQuotes/{conversion_request_id}", "/fxTransfers/{commit_request_id}"


def _packet() -> str:
    """Returns a packet with the terms of the payment. Other DFSPs find the names of the customers in the packet."""
    asked, given = EXAMPLES["post", "/quotes"], EXAMPLES["put", _QUOTE]
    terms = {name: asked[name] for name in ("payee", "payer", "amount", "transactionType", "note")}
    said = json.dumps(terms | {"quoteId": _QUOTE_ID, "transactionId": _TRANSFER_ID}).encode()
    return ilp4.encode_prepare(
        ilp4.IlpPrepare(
            amount=10_000,
            expires_at=_DATE + timedelta(minutes=1),
            condition=base64url.decode(given["condition"]),
            destination=f"g.tz.{PAYEE}",
            data=base64url.encode(said).encode("ascii"),
        )
    )


def _written(kind: type[Any], method: str, path: str, *, to: str, **changes: Any) -> dict[str, Any]:
    """Returns the plain example with these changes in the ISO 20022 form."""
    message = bodies.convert(kind, EXAMPLES[method, path] | changes)
    sent_to = path.format(
        id_type="MSISDN",
        identifier="255655001001",
        quote_id=_QUOTE_ID,
        transfer_id=_TRANSFER_ID,
        conversion_request_id=_REQUEST_ID,
    )
    source = PAYER if to in (PAYEE, FXP) else FXP if path == _FX_QUOTE else PAYEE
    return write(message, Envelope(sent_to, _DATE, source, to))


def _terms(method: str, path: str) -> dict[str, Any]:
    terms: dict[str, Any] = EXAMPLES[method, path]["conversionTerms"]
    return terms | {"conversionId": _CONVERSION_ID, "determiningTransferId": _TRANSFER_ID}


def _state(path: str, source: str) -> dict[str, Any]:
    body = EXAMPLES["put", path]
    at = time.parse_datetime(body["completedTimestamp"])
    sent_to = path.format(transfer_id=_TRANSFER_ID, commit_request_id=_CONVERSION_ID)
    return iso20022.write(body, path=sent_to, date=at, source=source, destination=PAYER)


def _error(resource: str) -> dict[str, Any]:
    path = f"/{resource}/MSISDN/255655001001/error" if resource == "parties" else f"/{resource}/{_TRANSFER_ID}/error"
    source = FXP if resource.startswith("fx") else PAYEE
    return iso20022.write(ERRORS[resource], path=path, date=_DATE, source=source, destination=PAYER)


_PACKET = _packet()
_FOUND = _written(PartyPut, "put", _PARTY, to=PAYER)
ISO_EXAMPLES: MappingProxyType[tuple[str, str], dict[str, Any]] = MappingProxyType(
    {
        ("put", _PARTY): _FOUND,
        ("put", _PARTY + "/{sub_id}"): _FOUND,
        ("post", "/quotes"): _written(
            QuotePost, "post", "/quotes", to=PAYEE, quoteId=_QUOTE_ID, transactionId=_TRANSFER_ID
        ),
        ("put", _QUOTE): _written(QuotePut, "put", _QUOTE, to=PAYER, ilpPacket=_PACKET),
        ("post", "/transfers"): _written(
            TransferPost, "post", "/transfers", to=PAYEE, transferId=_TRANSFER_ID, ilpPacket=_PACKET
        ),
        ("put", _TRANSFER): _state(_TRANSFER, PAYEE),
        ("post", "/fxQuotes"): _written(
            FxQuotePost,
            "post",
            "/fxQuotes",
            to=FXP,
            conversionRequestId=_REQUEST_ID,
            conversionTerms=_terms("post", "/fxQuotes"),
        ),
        ("put", _FX_QUOTE): _written(FxQuotePut, "put", _FX_QUOTE, to=PAYER, conversionTerms=_terms("put", _FX_QUOTE)),
        ("post", "/fxTransfers"): _written(
            FxTransferPost,
            "post",
            "/fxTransfers",
            to=FXP,
            commitRequestId=_CONVERSION_ID,
            determiningTransferId=_TRANSFER_ID,
        ),
        ("put", _FX_TRANSFER): _state(_FX_TRANSFER, FXP),
    }
)
"""The example of each message, by its method and path in the document."""

ISO_ERRORS: MappingProxyType[str, dict[str, Any]] = MappingProxyType(
    {name: _error(name) for name in ERRORS if resources.has_iso20022_bodies(name)}
)
"""The body of an error callback, for each resource."""
