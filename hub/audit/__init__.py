"""Who did what: `record(...)` in the transaction that does it."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

_address: ContextVar[str] = ContextVar("address", default="")


@contextmanager
def coming_from(address: str) -> Iterator[None]:
    """What is recorded inside came from this network address."""
    token = _address.set(address)
    try:
        yield
    finally:
        _address.reset(token)


def address() -> str:
    """The network address that the present request came from; empty where there is none that can be trusted."""
    return _address.get()


def record(action: str, *, subject: str, actor: str, before: Any = None, after: Any = None) -> None:
    """Adds one entry to the audit trail; see `hub.audit.trail.record`."""
    from hub.audit import trail  # models can not be imported before the apps are ready

    trail.record(action, subject=subject, actor=actor, before=before, after=after, address=_address.get())
