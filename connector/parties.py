"""Answers lookups of this DFSP's customers. Nothing is stored, because the requester repeats an unanswered lookup."""

import asyncio

import msgspec
import structlog

from connector.backend import Backend, PartyDetails, Unavailable
from connector.client import HubClient
from connector.config import Config
from connector.payment_order import PartyRef, party_of
from connector.resource_paths import party_path
from fspiop import bodies, strictjson
from fspiop.bodies.common import PartyIdType
from fspiop.bodies.parties import PartyPut
from fspiop.errors import ErrorCode, error_body

log = structlog.get_logger(__name__)


class Parties:
    """Looks customers up at the core and sends the result to the requester."""

    def __init__(self, config: Config, hub: HubClient, backend: Backend) -> None:
        self._config, self._hub, self._backend = config, hub, backend
        self._tasks: set[asyncio.Task[None]] = set()

    def answer(self, asker: str, id_type: PartyIdType, id_value: str, sub_id: str | None) -> None:
        """Sends the result in the background, by PUT /parties/… or its error."""
        task = asyncio.get_running_loop().create_task(self._answer(asker, id_type, id_value, sub_id))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, asker: str, id_type: PartyIdType, id_value: str, sub_id: str | None) -> None:
        path = party_path("parties", id_type, id_value, sub_id)
        try:
            found = await self._backend.find_party(id_type, id_value, sub_id)
        except Unavailable as error:
            log.warning("party_not_answered", why=str(error))  # the requester repeats its lookup, or gives up
            return
        if found is None:
            no = ErrorCode.PARTY_NOT_FOUND
            path, body = path + "/error", strictjson.canonical(error_body(no.code, no.text))
        else:
            party = _described(found, PartyRef(id_type=id_type, id_value=id_value, sub_id=sub_id))
            body = bodies.write(PartyPut(party=party_of(msgspec.structs.replace(party, fsp_id=self._config.dfsp))))
        await self._hub.send("PUT", path, body, destination=asker)


def _described(found: PartyDetails, alias: PartyRef) -> PartyRef:
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
