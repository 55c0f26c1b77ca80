"""The decisions of two people about a held transfer, as actions that an alert offers too (`rules.alerts.actions`)."""

from collections.abc import Callable, Mapping
from typing import Any

from ledger.held_transfers import services

Payload = dict[str, Any]


def release(payload: Payload, actor: str) -> None:
    """Sends the transfer to its payee now. Raises FspiopError if it is not held any more."""
    services.release(payload["transfer"], reason=payload["reason"], actor=actor)


def refuse(payload: Payload, actor: str) -> None:
    """Aborts the transfer with a code of the scheme's. Raises FspiopError if it is not held any more."""
    services.refuse(payload["transfer"], code=payload["code"], reason=payload["reason"], actor=actor)


PERFORM: Mapping[str, Callable[[Payload, str], object]] = {"release_held": release, "refuse_held": refuse}
