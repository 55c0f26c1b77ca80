"""The transactional outbox: call `append` in the database transaction that stores an event, and call `poke` after the
commit.

The table of the outbox is also the queue of messages. A poke is a hint through Redis that some destinations have
waiting messages. If a poke is lost, the messages are only delayed.
"""

from collections.abc import Collection, Iterable, Sequence
from typing import Any

from hub.outbox.messages import Outgoing


def append(messages: Iterable[Outgoing]) -> None:
    """Adds these messages in the caller's database transaction; see `hub.outbox.store.append`."""
    from hub.outbox import store  # Django cannot import models before its apps are ready

    store.append(list(messages))


def append_about(changed: str, parameters: Sequence[Any], messages: Sequence[Outgoing]) -> set[str]:
    """Makes a change, and adds the messages about this change, both in one SQL statement; see
    `hub.outbox.store.append_about`."""
    from hub.outbox import store

    return store.append_about(changed, parameters, messages)


def poke(destination_ids: Collection[int]) -> None:
    """Notifies the couriers that messages wait for these destinations; see `hub.outbox.wakeup`."""
    from hub.outbox import wakeup

    wakeup.ring(destination_ids)


__all__ = ["Outgoing", "append", "append_about", "poke"]
