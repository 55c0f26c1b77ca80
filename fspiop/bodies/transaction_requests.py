"""The bodies of /transactionRequests (FSPIOP API v1.1, section 6.4)."""

from typing import Literal

from fspiop.bodies.common import (
    AuthenticationType,
    CorrelationId,
    DateTime,
    ExtensionList,
    GeoCode,
    Message,
    Money,
    Party,
    PartyIdInfo,
    Text128,
    TransactionType,
)

TransactionRequestState = Literal["RECEIVED", "PENDING", "ACCEPTED", "REJECTED"]  # section 7.5.10


class TransactionRequestPost(Message):
    """POST /transactionRequests (section 6.4.3.2): the payee DFSP requests a payment from the payer DFSP."""

    transaction_request_id: CorrelationId
    payee: Party
    payer: PartyIdInfo
    amount: Money
    transaction_type: TransactionType
    note: Text128 | None = None
    geo_code: GeoCode | None = None
    authentication_type: AuthenticationType | None = None
    expiration: DateTime | None = None
    extension_list: ExtensionList | None = None


class TransactionRequestPut(Message):
    """PUT /transactionRequests/{ID} (section 6.4.4.1): the state of the request at the payer DFSP."""

    transaction_request_state: TransactionRequestState
    transaction_id: CorrelationId | None = None
    extension_list: ExtensionList | None = None
