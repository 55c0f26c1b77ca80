"""Who did what: `record(...)` in the transaction that does it."""

from typing import Any


def record(action: str, *, subject: str, actor: str, before: Any = None, after: Any = None) -> None:
    """Adds one entry to the audit trail; see `hub.audit.trail.record`."""
    from hub.audit import trail  # models can not be imported before the apps are ready

    trail.record(action, subject=subject, actor=actor, before=before, after=after)
