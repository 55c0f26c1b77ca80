"""Answers "who is this?" about customers of ours. Nothing is stored: who asked asks again."""

import asyncio

import structlog

from connector.backend import Backend, PartyDetails, Unavailable
from connector.client import HubClient
from connector.config import Config
from connector.paths import party_path
from fspiop import bodies, strictjson
from fspiop.bodies.common import Party, PartyComplexName, PartyIdInfo, PartyIdType, PartyPersonalInfo
from fspiop.bodies.parties import PartyPut
from fspiop.errors import ErrorCode, error_body

log = structlog.get_logger(__name__)


class Parties:
    """Looks customers up at the core and tells who asked."""

    def __init__(self, config: Config, hub: HubClient, backend: Backend) -> None:
        self._config, self._hub, self._backend = config, hub, backend
        self._tasks: set[asyncio.Task[None]] = set()

    def answer(self, asker: str, id_type: PartyIdType, id_value: str, sub_id: str | None) -> None:
        """Answers in the background, by PUT /parties/… or its error."""
        task = asyncio.get_running_loop().create_task(self._answer(asker, id_type, id_value, sub_id))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, asker: str, id_type: PartyIdType, id_value: str, sub_id: str | None) -> None:
        path = party_path("parties", id_type, id_value, sub_id)
        try:
            found = await self._backend.find_party(id_type, id_value, sub_id)
        except Unavailable as error:
            log.warning("party_not_answered", why=str(error))  # who asked asks again, or gives up
            return
        if found is None:
            no = ErrorCode.PARTY_NOT_FOUND
            path, body = path + "/error", strictjson.canonical(error_body(no.code, no.text))
        else:
            body = bodies.write(PartyPut(party=_party(found, self._config.dfsp, id_type, id_value, sub_id)))
        await self._hub.send("PUT", path, body, destination=asker)


def _party(found: PartyDetails, dfsp: str, id_type: PartyIdType, id_value: str, sub_id: str | None) -> Party:
    name = PartyComplexName(first_name=found.first_name, last_name=found.last_name)
    has_more = found.first_name or found.last_name or found.date_of_birth
    return Party(
        party_id_info=PartyIdInfo(
            party_id_type=id_type,
            party_identifier=id_value,
            party_sub_id_or_type=sub_id,
            fsp_id=dfsp,
        ),
        name=found.name,
        personal_info=PartyPersonalInfo(complex_name=name, date_of_birth=found.date_of_birth) if has_more else None,
        supported_currencies=list(found.currencies) or None,
    )
