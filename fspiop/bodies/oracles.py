"""The bodies of the hub's requests to external oracles, and of the oracles' responses (`directory.remote_oracle`)."""

from typing import Annotated

from msgspec import Meta

from fspiop.bodies.common import CorrelationId, Currency, FspId, Message, PartyIdType, Text128
from fspiop.bodies.participants import MAX_PARTIES, PartyResult


class OracleRegistration(Message):
    """One registration in an oracle's answer, and also the body of a registration at an oracle."""

    fsp_id: FspId
    currency: Currency | None = None
    party_sub_id_or_type: Text128 | None = None


class OraclePartyList(Message):
    """An oracle's answer to GET /participants/{Type}/{ID}: empty if the party is unknown."""

    party_list: Annotated[list[OracleRegistration], Meta(max_length=MAX_PARTIES)]


class OracleParty(Message):
    """One party of a batch registration at an oracle."""

    party_id_type: PartyIdType
    party_identifier: Text128
    fsp_id: FspId
    party_sub_id_or_type: Text128 | None = None
    currency: Currency | None = None


class OracleBatch(Message):
    """The body of POST /participants to an oracle: registers a batch of parties."""

    request_id: CorrelationId
    party_list: list[OracleParty]
    currency: Currency | None = None


class OracleBatchReply(Message):
    """An oracle's answer to a batch registration: a list of the parties. If the oracle refused a party, this party has
    an error."""

    party_list: list[PartyResult]
