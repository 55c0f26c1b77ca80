"""Registers many aliases, with a bounded number of requests to the hub at the same time."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from fspiop import bodies
from fspiop.bodies.common import PartyIdType
from fspiop.errors import FspiopError
from kitovu_connector.core_messages import AliasWanted
from kitovu_connector.errors import ConnectorError, InvalidRequest
from kitovu_connector.party_identifiers import Alias

AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class CustomerAlias:
    """An alias of one of this DFSP's customers. `currency` is the currency of the customer's account."""

    id_type: PartyIdType
    id_value: str
    sub_id: str | None = None
    currency: str | None = None


@dataclass(frozen=True, slots=True)
class AliasResult:
    """The result for one alias of `register_aliases`. `error` is None if the hub has registered the alias."""

    alias: CustomerAlias
    error: ConnectorError | None = None

    @property
    def is_registered(self) -> bool:
        """Whether the hub has registered the alias."""
        return self.error is None


def checked(alias: CustomerAlias) -> Alias:
    """Returns the alias in the form of the messages. Raises InvalidRequest if a field is wrong."""
    if not isinstance(alias, CustomerAlias):
        raise InvalidRequest("the alias must be a kitovu_connector.CustomerAlias")
    fields: dict[str, Any] = {
        "idType": alias.id_type,
        "idValue": alias.id_value,
        "idSubValue": alias.sub_id,
        "currency": alias.currency,
    }
    try:
        bodies.convert(AliasWanted, {name: value for name, value in fields.items() if value is not None})
    except FspiopError as error:
        raise InvalidRequest(error.detail, error.error) from None
    return alias.id_type, alias.id_value, alias.sub_id


async def register_all(
    aliases: Iterable[CustomerAlias], register: Callable[[CustomerAlias], Awaitable[None]]
) -> list[AliasResult]:
    """Calls `register` for each alias, at most AT_ONCE at the same time. Returns the results in the order of the
    aliases.
    """
    results: dict[int, AliasResult] = {}
    waiting = iter(enumerate(list(aliases)))
    async with asyncio.TaskGroup() as group:
        for _ in range(AT_ONCE):
            group.create_task(_register_next(waiting, register, results))
    return [results[number] for number in sorted(results)]


async def _register_next(
    waiting: Iterator[tuple[int, CustomerAlias]],
    register: Callable[[CustomerAlias], Awaitable[None]],
    results: dict[int, AliasResult],
) -> None:
    for number, alias in waiting:  # all tasks take from the same iterator
        try:
            await register(alias)
        except ConnectorError as error:
            results[number] = AliasResult(alias, error)
        else:
            results[number] = AliasResult(alias)
