"""The audit trail: call `record(...)` in the database transaction that makes the change."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

_address: ContextVar[str] = ContextVar("address", default="")


@dataclass(frozen=True, slots=True)
class Change:
    """One of several changes that `record_all` adds to the audit trail."""

    action: str
    subject: str
    before: Any = None
    after: Any = None


@contextmanager
def coming_from(address: str) -> Iterator[None]:
    """Within this block, all new audit entries contain this network address."""
    token = _address.set(address)
    try:
        yield
    finally:
        _address.reset(token)


def address() -> str:
    """Returns the network address of the present request's client, or "" if the address is not trustworthy."""
    return _address.get()


def record(action: str, *, subject: str, actor: str, before: Any = None, after: Any = None) -> None:
    """Adds one entry to the audit trail; see `hub.audit.trail.record`."""
    from hub.audit import trail  # models cannot be imported before the apps are ready

    trail.record(action, subject=subject, actor=actor, before=before, after=after, address=_address.get())


def record_all(changes: Sequence[Change], *, actor: str) -> None:
    """Adds one entry for each change to the audit trail; see `hub.audit.trail.record_all`."""
    from hub.audit import trail  # models cannot be imported before the apps are ready

    trail.record_all(changes, actor=actor, address=_address.get())
