"""Reads the parties, the quote's id and the transaction id from a transfer's ILP packet. The hub needs these values if
the hub does not have the quote. Pure.

The payee DFSP wrote the packet, and the payer DFSP sends the packet with the transfer. Some DFSPs' packets do not
contain the parties.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from fspiop import correlation_ids
from fspiop.bodies.common import PartyIdInfo
from ledger import ilp_packets
from rules.party_keys import key_of


@dataclass(frozen=True, slots=True)
class PacketParties:
    """The keys of the parties in the packet. A party with a sub-identifier also has a second key."""

    payer: int | None
    payee: int | None
    payee_alias: int | None
    payer_alias: int | None = None
    quote_id: str | None = None
    """The id of the quote, from the packet."""
    transaction_id: str | None = None
    """The id of the payment transaction, from the packet."""


NOBODY = PacketParties(None, None, None)


def read(ilp_packet: str, *, payer_dfsp: str, payee_dfsp: str) -> PacketParties:
    """Returns the parties. Leaves out a party if the packet and the transfer name different DFSPs for this party."""
    packet = ilp_packets.read(ilp_packet) if ilp_packet else None
    if packet is None:
        return NOBODY
    payer = _identifier(packet.transaction, "payer", payer_dfsp)
    payee = _identifier(packet.transaction, "payee", payee_dfsp)
    return PacketParties(
        None if payer is None else key_of(payer.party_id_type, payer.party_identifier),
        None if payee is None else key_of(payee.party_id_type, payee.party_identifier),
        None if payee is None else key_of(payee.party_id_type, payee.party_identifier, payee.party_sub_id_or_type),
        payer_alias=None if payer is None or not payer.party_sub_id_or_type else _alias(payer),
        quote_id=_id(packet.transaction.get("quoteId")),
        transaction_id=_id(packet.transaction.get("transactionId")),
    )


def _id(value: object) -> str | None:
    return value if isinstance(value, str) and correlation_ids.is_correlation_id(value) else None


def _alias(party: PartyIdInfo) -> int:
    return key_of(party.party_id_type, party.party_identifier, party.party_sub_id_or_type)


def _identifier(transaction: Mapping[str, Any], side: str, dfsp: str) -> PartyIdInfo | None:
    party = transaction.get(side)
    if not isinstance(party, dict):
        return None
    try:
        found = msgspec.convert(party.get("partyIdInfo"), PartyIdInfo)
    except msgspec.ValidationError:
        return None
    return found if found.fsp_id in (None, dfsp) else None
