"""Answers lookups of this DFSP's customers. Stores nothing, because the requester repeats an unanswered lookup."""

import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import TypeVar

import msgspec
import structlog

from fspiop import bodies
from fspiop.bodies.common import PartyIdType
from fspiop.bodies.participants import ParticipantPut
from fspiop.bodies.parties import PartyPut
from fspiop.errors import ErrorCode, FspiopError
from kitovu_connector import asking_the_core, party_identifiers
from kitovu_connector.asking_the_core import No
from kitovu_connector.backend import Backend, OwnerBackend, PartyDetails
from kitovu_connector.background import Background
from kitovu_connector.client import Answer, HubClient, Said
from kitovu_connector.config import Config
from kitovu_connector.party_identifiers import Alias
from kitovu_connector.party_paths import party_path
from kitovu_connector.payment_order import PartyRef, party_of
from kitovu_connector.sender_shares import Places, Shares

T = TypeVar("T")
log = structlog.get_logger(__name__)

_MOST_WAITING_FOR_EACH_CONNECTION = 8
_MOST_OF_ONE_DFSP = 2  # of these eight
_KNOWN_FOR_S = 60.0
_MOST_KNOWN = 10_000


class Parties:
    """Looks up customers at the core, and sends the results to the requesters."""

    def __init__(self, config: Config, hub: HubClient, backend: Backend) -> None:
        self._config, self._hub, self._backend = config, hub, backend
        self._background = Background()
        self._places = Places(config.connections)
        # the open lookups, including those that wait for a place
        self._waiting = Shares(
            config.connections * _MOST_WAITING_FOR_EACH_CONNECTION, config.connections * _MOST_OF_ONE_DFSP
        )
        # each known customer, and the time until which the customer counts as known
        self._known: OrderedDict[Alias, float] = OrderedDict()

    async def close(self) -> None:
        """Stops all lookups."""
        await self._background.close()

    def answer(self, asker: str, id_type: PartyIdType, id_value: str, sub_id: str | None) -> None:
        """Looks up the customer in the background, and sends the result by PUT /parties/… or PUT /parties/…/error.

        Raises FspiopError 2005 if too many lookups are waiting.
        """
        self.check_has_room(asker)
        self._background.start(self._answer(asker, id_type, id_value, sub_id))

    def answer_owner(self, asker: str, id_type: PartyIdType, id_value: str, sub_id: str | None) -> None:
        """Sends PUT /participants/… in the background, to report whether this DFSP has the customer. Raises FspiopError
        2005 if too many lookups are waiting.
        """
        self.check_has_room(asker)
        self._background.start(self._answer_owner(asker, id_type, id_value, sub_id))

    def check_has_room(self, asker: str) -> None:
        """Raises FspiopError 2005 if too many lookups wait for the core, either from all DFSPs together or from this
        requester.
        """
        self._waiting.check_has_room(asker)

    def is_known(self, alias: Alias) -> bool:
        """Returns whether the core has found this customer less than a minute ago."""
        return self._known.get(party_identifiers.same(alias), 0.0) > time.monotonic()

    async def find(self, alias: Alias, asker: str) -> PartyDetails | No:
        """Returns the customer from the core, or the reason why no customer has this alias."""
        id_type, id_value, sub_id = alias
        value = party_identifiers.spelling(id_type, id_value)
        found = await self._ask_core(asker, lambda: self._backend.find_party(id_type, value, sub_id))
        if found is None:
            return No(ErrorCode.PARTY_NOT_FOUND.code)
        if isinstance(found, PartyDetails):
            key = party_identifiers.same(alias)
            self._known[key] = time.monotonic() + _KNOWN_FOR_S
            self._known.move_to_end(key)
            if len(self._known) > _MOST_KNOWN:
                self._known.popitem(last=False)
            return found
        return (
            found if isinstance(found, No) else asking_the_core.not_understood(TypeError("find_party: no PartyDetails"))
        )

    async def _ask_core(self, asker: str, call: Callable[[], Awaitable[T]]) -> T | No:
        with self._waiting.place(asker):
            async with self._places.of(asker):
                return await asking_the_core.ask(
                    call, seconds=self._config.request_s, otherwise=ErrorCode.PARTY_NOT_FOUND
                )

    async def _answer(self, asker: str, id_type: PartyIdType, id_value: str, sub_id: str | None) -> None:
        alias = PartyRef(id_type=id_type, id_value=id_value, sub_id=sub_id)
        found = await self.find((id_type, id_value, sub_id), asker)
        body = found if isinstance(found, No) else self._described(found, alias)
        answer = await self._send(asker, alias, body)
        if answer.said is Said.NO and not isinstance(body, No):
            # The hub refused the connector's answer. So the connector sends an error, and the requester does not have
            # to wait until its time-out.
            await self._send(asker, alias, No(ErrorCode.INTERNAL_SERVER_ERROR.code, f"the hub refused: {answer.text}"))

    async def _answer_owner(self, asker: str, id_type: PartyIdType, id_value: str, sub_id: str | None) -> None:
        alias = PartyRef(id_type=id_type, id_value=id_value, sub_id=sub_id)
        if isinstance(self._backend, OwnerBackend):
            value = party_identifiers.spelling(id_type, id_value)
            backend = self._backend
            found = await self._ask_core(asker, lambda: backend.find_owner(id_type, value, sub_id))
        else:
            party = await self.find((id_type, id_value, sub_id), asker)
            found = party if isinstance(party, No) else self._config.dfsp
        if found is None:
            found = No(ErrorCode.PARTY_NOT_FOUND.code)
        elif not isinstance(found, str | No):
            found = asking_the_core.not_understood(TypeError("find_owner: no name"))
        body = found if isinstance(found, No) else bodies.write(ParticipantPut(fsp_id=found))
        await self._send(asker, alias, body, "participants")

    async def _send(self, asker: str, alias: PartyRef, body: bytes | No, resource: str = "parties") -> Answer:
        path = party_path(resource, alias.id_type, alias.id_value, alias.sub_id)
        if isinstance(body, No):
            path, body = path + "/error", asking_the_core.error_put(body)
        give_up = time.monotonic() + self._config.request_s
        return await self._hub.send_until_taken(
            "PUT", path, body, destination=asker, caused_by=asker, still_wanted=lambda: time.monotonic() < give_up
        )

    def _described(self, found: PartyDetails, alias: PartyRef) -> bytes | No:
        """Returns the body of PUT /parties.

        If the API does not allow the core's data, for example a name with a slash, returns the body of an error.
        """
        try:
            party = _party(found, msgspec.structs.replace(alias, fsp_id=self._config.dfsp))
            body = bodies.write(PartyPut(party=party_of(party)))
            bodies.read(PartyPut, body)
        except (FspiopError, TypeError, ValueError) as error:
            return asking_the_core.not_understood(error)
        return body


def _party(found: PartyDetails, alias: PartyRef) -> PartyRef:
    return msgspec.structs.replace(
        alias,
        name=found.name,
        first_name=found.first_name,
        middle_name=found.middle_name,
        last_name=found.last_name,
        date_of_birth=found.date_of_birth,
        kyc_information=found.kyc_information,
        merchant_classification_code=found.merchant_classification_code,
        currencies=found.currencies,
        extensions=found.extensions,
    )
