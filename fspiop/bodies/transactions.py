"""The body of /transactions (FSPIOP API v1.1, section 6.8)."""

from typing import Annotated, Literal

from msgspec import Meta

from fspiop.bodies.common import DateTime, ExtensionList, Message

TransactionState = Literal["RECEIVED", "PENDING", "COMPLETED", "REJECTED"]  # section 7.5.12


class TransactionPut(Message):
    """PUT /transactions/{ID} (section 6.8.4.1): the state of a transaction, and the token that the transaction
    produced."""

    transaction_state: TransactionState
    completed_timestamp: DateTime | None = None
    code: Annotated[str, Meta(pattern=r"^[0-9a-zA-Z]{4,32}\Z")] | None = None
    extension_list: ExtensionList | None = None
