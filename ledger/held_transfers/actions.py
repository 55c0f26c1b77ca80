"""The two actions that people can request for a held transfer: its release and its refusal.

The pages of alerts also offer the actions on held transfers (`rules.alerts.requested_changes`).
"""

from collections.abc import Callable, Mapping
from typing import Any

from ledger.held_transfers import services

Payload = dict[str, Any]


def release(payload: Payload, actor: str) -> None:
    """Releases the held transfer: the hub sends the transfer to its payee now. Raises FspiopError if the transfer is no
    longer held."""
    services.release(payload["transfer"], reason=payload["reason"], actor=actor)


def refuse(payload: Payload, actor: str) -> None:
    """Aborts the held transfer with one of the scheme's error codes.

    Raises FspiopError if the transfer is no longer held.
    """
    services.refuse(payload["transfer"], code=payload["code"], reason=payload["reason"], actor=actor)


PERFORM: Mapping[str, Callable[[Payload, str], object]] = {"release_held": release, "refuse_held": refuse}
