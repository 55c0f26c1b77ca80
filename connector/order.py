"""What a core wants to have paid."""

from typing import Literal

import msgspec

from fspiop.bodies.common import AmountType, PartyIdType

Scenario = Literal["DEPOSIT", "WITHDRAWAL", "TRANSFER", "PAYMENT", "REFUND"]


class PartyRef(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A party as the core names it: kind of alias, alias, and who that is."""

    id_type: PartyIdType
    id_value: str
    sub_id: str | None = None
    name: str | None = None
    fsp_id: str | None = None


class Order(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the core wants: its own id of the payment, and who pays whom how much."""

    home_id: str
    payer: PartyRef
    payee: PartyRef
    amount: int
    currency: str
    amount_type: AmountType = "SEND"
    max_amount: int | None = None  # with RECEIVE: fees may raise the transfer up to this; default: not at all
    scenario: Scenario = "TRANSFER"
    note: str | None = None
