"""The rules that judge payments now. A group of messages takes them once, at its beginning.

As long as no version was ever active, a process asks the database once a second, and a group needs no statement. After
that, each group runs one statement: it takes a lock that the activation of another version excludes, and then reads
which version is active. So no group is judged by parts of two versions, and after an activation is committed, no group
of any process is judged by the earlier version.
"""

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from rules.rulesets import store
from rules.rulesets.store import Active

GATES = ("lookup", "quote", "transfer")

_REFRESH_S = 1.0
"""How long a process assumes that there is still no version, after the database has said so."""


@dataclass(frozen=True, slots=True)
class Variances:
    """The exceptions: the last moment of each, by rule, side ("payer" or "payee") and DFSP."""

    revision: int
    until: Mapping[tuple[str, str, str], datetime]


@dataclass(frozen=True, slots=True)
class Version:
    """A version of the rules, compiled for each gate."""

    number: int
    compiled: Mapping[str, object] = field(repr=False)


@dataclass(frozen=True, slots=True)
class ActiveRules:
    """One version with the exceptions from its rules. Nothing of it changes while a group uses it."""

    version: int
    variances: Variances
    _version: Version = field(repr=False)

    def compiled(self, gate: str) -> object:
        """Returns the compiled rules of this gate: "lookup", "quote" or "transfer"."""
        return self._version.compiled[gate]


class _Process:
    """What this process knows. All attributes are replaced, never changed, because several threads read them."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.was_ever_active = False
        self.asked_at = float("-inf")
        self.kept: ActiveRules | None = None


_process = _Process()


def current() -> ActiveRules | None:
    """Returns the rules that are active now, or None. Call this once for each group, in the group's transaction."""
    process = _process
    if not process.was_ever_active:
        if time.monotonic() - process.asked_at < _REFRESH_S:
            return None
        process.asked_at = time.monotonic()
    active = store.active()
    process.was_ever_active = process.was_ever_active or active.was_ever
    return None if active.version is None else _rules(process, active, active.version)


def may_have_judged() -> bool:
    """Returns whether rules may have judged a payment, as far as this process knows. Runs no statement."""
    return _process.was_ever_active


def _rules(process: _Process, active: Active, number: int) -> ActiveRules:
    kept = process.kept
    if kept is not None and kept.version == number and kept.variances.revision == active.variances:
        return kept
    version = kept._version if kept is not None and kept.version == number else _read(number)
    variances = Variances(active.variances, store.variances(active.variances))
    process.kept = ActiveRules(number, variances, version)
    return process.kept


def _read(number: int) -> Version:
    store.content(number)
    return Version(number, dict.fromkeys(GATES))


def forget() -> None:
    """Makes the next group ask the database; for tests, which replace the database."""
    global _process
    _process = _Process()
