"""Writes and reads the parts of `transactionType`, such as the initiator. A request for a quote (pacs.081) has no
element for these parts.

This module therefore writes the parts into the element "instruction for the payee's agent". In ISO 20022, users may
agree on the text of this instruction. This module writes, for example,
"initiator=PAYER;initiatorType=AGENT;subScenario=SALARY;refundOf=01J...". When the module reads a text, `with_details`
ignores unknown parts.
"""

from typing import get_args

import msgspec

from fspiop import bodies
from fspiop.bodies.common import Refund, TransactionType
from fspiop.errors import FspiopError

_INITIATORS = get_args(TransactionType.__annotations__["initiator"])
_INITIATOR_TYPES = get_args(TransactionType.__annotations__["initiator_type"])


def text_of(kind: TransactionType) -> str:
    """Returns the parts of `transactionType` as one text."""
    found = {
        "initiator": kind.initiator,
        "initiatorType": kind.initiator_type,
        "subScenario": kind.sub_scenario,
        "refundOf": kind.refund_info.original_transaction_id if kind.refund_info else None,
    }
    return ";".join(f"{name}={value}" for name, value in found.items() if value)


def with_details(kind: TransactionType, text: str | None) -> TransactionType:
    """Returns a copy of `transactionType` to which the parts in the text are added."""
    found = dict(part.split("=", 1) for part in (text or "").split(";") if "=" in part)
    changed = msgspec.structs.replace(
        kind,
        initiator=found["initiator"] if found.get("initiator") in _INITIATORS else kind.initiator,
        initiator_type=found["initiatorType"]
        if found.get("initiatorType") in _INITIATOR_TYPES
        else kind.initiator_type,
        sub_scenario=found.get("subScenario"),
        refund_info=Refund(found["refundOf"]) if "refundOf" in found else None,
    )
    try:
        return bodies.convert(TransactionType, msgspec.to_builtins(changed))
    except FspiopError:
        return kind
