"""Handles the messages about parties and participants: requests about this DFSP's customers, and callbacks about
aliases.
"""

from typing import cast, get_args

from fspiop import bodies
from fspiop.bodies.common import PartyIdType
from fspiop.bodies.errors import ErrorPut
from fspiop.bodies.participants import ParticipantPut, ParticipantsPut
from fspiop.bodies.parties import PartyPut
from fspiop.errors import ErrorCode, FspiopError
from kitovu_connector.aliases import Aliases
from kitovu_connector.answering_lookups import Parties
from kitovu_connector.exchanges import Exchanges
from kitovu_connector.inbound_message import Message, Route
from kitovu_connector.lookups import Lookups
from kitovu_connector.party_identifiers import Alias
from kitovu_connector.payer import Payer
from kitovu_connector.payment_events_and_actions import OwnerFound, PartyFailed, PartyFound
from kitovu_connector.payment_order import ref_of

PARTY_ID_TYPES = frozenset(get_args(PartyIdType))


class PartyMessages:
    """Passes each callback to the waiting payments, lookups and registrations."""

    def __init__(
        self, dfsp: str, payer: Payer, parties: Parties, aliases: Aliases, lookups: Lookups, exchanges: Exchanges
    ) -> None:
        self._dfsp, self._payer, self._parties = dfsp, payer, parties
        self._aliases, self._lookups, self._exchanges = aliases, lookups, exchanges

    def routes(self) -> list[Route]:
        """Returns the routes for the messages that this class receives."""
        alias, sub_alias = "/{id_type}/{id_value}", "/{id_type}/{id_value}/{sub_id}"
        return [
            ("GET", "/participants" + alias, self._owner_asked),
            ("GET", "/participants" + sub_alias, self._owner_asked),
            ("PUT", "/participants/{id}", self._batch_told),
            ("PUT", "/participants/{id}/error", self._batch_failed),
            ("GET", "/parties" + alias, self._party_asked),
            ("GET", "/parties" + sub_alias, self._party_asked),
            ("PUT", "/parties" + alias + "/error", self._party_failed),
            ("PUT", "/parties" + sub_alias + "/error", self._party_failed),
            ("PUT", "/parties" + alias, self._party_told),
            ("PUT", "/parties" + sub_alias, self._party_told),
            ("PUT", "/participants" + alias + "/error", self._alias_failed),
            ("PUT", "/participants" + sub_alias + "/error", self._alias_failed),
            ("PUT", "/participants" + alias, self._alias_told),
            ("PUT", "/participants" + sub_alias, self._alias_told),
        ]

    async def end_lookups(self, alias: Alias, source: str) -> None:
        """Ends the lookups of an alias, because the connector has no key for messages from the alias's DFSP. The
        payments that wait for such a lookup end immediately.
        """
        failed = PartyFailed(ErrorCode.INVALID_SIGNATURE.code, f"no key of {source} is known", source, is_proven=True)
        self._lookups.told(alias, failed)
        for payment in self._payer.looking_for(*alias):
            await self._payer.move(payment, failed)

    async def _party_asked(self, message: Message) -> int:
        id_type, id_value, sub_id = message.alias
        if id_type not in PARTY_ID_TYPES:
            raise FspiopError(ErrorCode.VALIDATION_ERROR, "partyIdType: not a type of the API")
        # The hub either forwards the callback to the participant in FSPIOP-Source, or refuses the callback.
        self._parties.answer(message.source, cast(PartyIdType, id_type), id_value, sub_id)
        return 202

    async def _owner_asked(self, message: Message) -> int:
        """Handles GET /participants: another DFSP checks whether a customer belongs to this DFSP."""
        id_type, id_value, sub_id = message.alias
        if id_type not in PARTY_ID_TYPES:
            raise FspiopError(ErrorCode.VALIDATION_ERROR, "partyIdType: not a type of the API")
        self._parties.answer_owner(message.source, cast(PartyIdType, id_type), id_value, sub_id)
        return 202

    async def _batch_told(self, message: Message) -> int:
        message.check_is_from_hub()
        message.met(self._exchanges.told(("participants", message.id), message.reply(message.read(ParticipantsPut))))
        return 200

    async def _batch_failed(self, message: Message) -> int:
        message.check_is_from_hub()
        message.met(self._exchanges.told(("participants", message.id), message.reply(message.error)))
        return 200

    async def _party_told(self, message: Message) -> int:
        party = ref_of(bodies.read(PartyPut, message.raw).party)
        return await self._move_lookups(message, PartyFound(party, message.source, message.came_via_hub))

    async def _party_failed(self, message: Message) -> int:
        error = bodies.read(ErrorPut, message.raw).error_information
        is_proven = message.is_from_hub or message.came_via_hub
        failed = PartyFailed(error.error_code, error.error_description, message.source, is_proven)
        return await self._move_lookups(message, failed)

    async def _move_lookups(self, message: Message, event: PartyFound | PartyFailed | OwnerFound) -> int:
        message.met(self._lookups.is_awaited(message.alias))
        refusal = self._lookups.told(message.alias, event)
        for payment in self._payer.looking_for(*message.alias):
            message.met(True)
            refusal = await self._payer.move(payment, event) or refusal
        if refusal is not None:
            raise FspiopError(ErrorCode.VALIDATION_ERROR, refusal)
        return 200

    async def _alias_told(self, message: Message) -> int:
        message.check_is_from_hub()
        body = bodies.read(ParticipantPut, message.raw)
        owner = body.fsp_id or next((party.fsp_id for party in body.party_list or [] if party.fsp_id), None)
        if owner in (None, self._dfsp):
            message.met(self._aliases.told(message.alias, None))
        return 200 if owner is None else await self._move_lookups(message, OwnerFound(owner))

    async def _alias_failed(self, message: Message) -> int:
        message.check_is_from_hub()
        error = bodies.read(ErrorPut, message.raw).error_information
        if self._aliases.told(message.alias, error):
            return 200  # the error is the answer to a registration; a payment sends its lookup of the alias again
        failed = PartyFailed(error.error_code, error.error_description, message.source, is_proven=True)
        return await self._move_lookups(message, failed)
