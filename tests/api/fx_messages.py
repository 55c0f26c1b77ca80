"""Right messages about conversions: green pays TZS, fxp gives KES for them, blue is paid in KES."""

import uuid
from typing import Any

from tests.api.messages import moment
from tests.keys import CONDITION, FULFILMENT


def money(text: str, currency: str) -> dict[str, str]:
    return {"currency": currency, "amount": text}


def conversion_terms(**changes: Any) -> dict[str, Any]:
    return {
        "conversionId": str(uuid.uuid4()),
        "determiningTransferId": str(uuid.uuid4()),
        "initiatingFsp": "green",
        "counterPartyFsp": "fxp",
        "amountType": "SEND",
        "sourceAmount": money("100", "TZS"),
        "targetAmount": {"currency": "KES"},
        "expiration": moment(),
    } | changes


def fx_quote(**changes: Any) -> dict[str, Any]:
    return {"conversionRequestId": str(uuid.uuid4()), "conversionTerms": conversion_terms(**changes)}


def fx_terms(asked: dict[str, Any], **changes: Any) -> dict[str, Any]:
    terms = asked["conversionTerms"] | {"targetAmount": money("5", "KES"), "charges": []} | changes
    return {"conversionTerms": terms, "condition": CONDITION}


def fx_transfer(**changes: Any) -> dict[str, Any]:
    return {
        "commitRequestId": str(uuid.uuid4()),
        "determiningTransferId": str(uuid.uuid4()),
        "initiatingFsp": "green",
        "counterPartyFsp": "fxp",
        "sourceAmount": money("100", "TZS"),
        "targetAmount": money("5", "KES"),
        "condition": CONDITION,
        "expiration": moment(),
    } | changes


def fx_fulfilment(**changes: Any) -> dict[str, Any]:
    return {"conversionState": "RESERVED", "fulfilment": FULFILMENT, "completedTimestamp": moment(0)} | changes
