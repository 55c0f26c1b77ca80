"""The messages of one payment, for the FSPIOP document and the integrator's guide.

A customer of greenbank pays 100 TZS to a customer of bluewallet. A test sends these messages to a hub in this order,
and checks that the hub accepts them.
"""

from types import MappingProxyType
from typing import Any

from fspiop import ilp

PAYER, PAYEE = "greenbank", "bluewallet"
_NUMBER, _PAYERS_NUMBER = "255655001001", "255712001001"
QUOTE_ID = "7c23e80c-d078-4077-8263-2c047876fcf6"
TRANSACTION_ID = "85feac2f-39b2-491b-817e-4a03203d4f14"
TRANSFER_ID = TRANSACTION_ID
DATE = "Tue, 24 Nov 2026 08:00:00 GMT"
_EXPIRATION = "2026-11-24T08:01:00.000Z"
_AMOUNT = {"currency": "TZS", "amount": "100"}
_PACKET = ilp.encode_payment(ilp.IlpPayment(10_000, f"g.tz.{PAYEE}.{_NUMBER}", TRANSACTION_ID.encode()))
_FULFILMENT = ilp.fulfilment_for(_PACKET, b"a secret of the payee DFSP")
_CONDITION = ilp.condition_for(_FULFILMENT)


def _party(fsp: str, number: str, name: str) -> dict[str, Any]:
    return {"partyIdInfo": {"partyIdType": "MSISDN", "partyIdentifier": number, "fspId": fsp}, "name": name}


ERROR = {"errorInformation": {"errorCode": "5104", "errorDescription": "Payee rejected the transaction request"}}
"""The body of an error callback."""

EXAMPLES: MappingProxyType[tuple[str, str], dict[str, Any]] = MappingProxyType(
    {
        ("post", "/participants/{id_type}/{identifier}"): {"fspId": PAYEE, "currency": "TZS"},
        ("put", "/participants/{id_type}/{identifier}"): {"fspId": PAYEE},
        ("put", "/parties/{id_type}/{identifier}"): {"party": _party(PAYEE, _NUMBER, "Asha Juma")},
        ("post", "/quotes"): {
            "quoteId": QUOTE_ID,
            "transactionId": TRANSACTION_ID,
            "payer": _party(PAYER, _PAYERS_NUMBER, "Juma Hassan"),
            "payee": _party(PAYEE, _NUMBER, "Asha Juma"),
            "amountType": "SEND",
            "amount": _AMOUNT,
            "transactionType": {"scenario": "TRANSFER", "initiator": "PAYER", "initiatorType": "CONSUMER"},
            "note": "School fees",
        },
        ("put", "/quotes/{quote_id}"): {
            "transferAmount": _AMOUNT,
            "payeeReceiveAmount": _AMOUNT,
            "expiration": _EXPIRATION,
            "ilpPacket": _PACKET,
            "condition": _CONDITION,
        },
        ("post", "/transfers"): {
            "transferId": TRANSFER_ID,
            "payerFsp": PAYER,
            "payeeFsp": PAYEE,
            "amount": _AMOUNT,
            "ilpPacket": _PACKET,
            "condition": _CONDITION,
            "expiration": _EXPIRATION,
        },
        ("put", "/transfers/{transfer_id}"): {
            "transferState": "COMMITTED",
            "fulfilment": _FULFILMENT,
            "completedTimestamp": "2026-11-24T08:00:00.120Z",
        },
    }
)
"""The example of each message, by its method and path in the document."""
