"""The rules that judge payments now. A group of messages reads the active rules once, at the group's beginning.

While no version was ever active, a process reads the database once a second, and a group needs no SQL statement. After
the first activation, each group runs one SQL statement. The statement takes a lock that excludes an activation, and
then reads the active version. So no group is judged by parts of two versions. After the commit of an activation, no
group of any process is judged by the earlier version.
"""

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import cast

from rules.decide import Variances
from rules.facts import Gate
from rules.language.checks import accept_text
from rules.language.compile import compile_rules
from rules.language.compiled_types import CompiledRules
from rules.language.faults import RuleSetRefused
from rules.language.rule_types import RuleSet
from rules.rulesets import store
from rules.rulesets.store import Active

GATES: tuple[Gate, ...] = ("lookup", "quote", "transfer")

_ALSO_AT_TRANSFERS: tuple[Gate, ...] = ("quote",)

_REFRESH_S = 1.0
"""The time for which a process assumes that no version was ever active, after a read of the database."""


class CannotBeRead(Exception):
    """The error for an active version that this release cannot read, because the release reads the language of rules
    differently.

    The hub cannot judge payments until people activate another version, so the hub refuses payments with 2001.
    """


@dataclass(frozen=True, slots=True)
class Version:
    """A version of the rules, compiled for each gate. Its rules never change."""

    number: int
    rule_set: RuleSet
    by_gate: Mapping[Gate, CompiledRules] = field(repr=False)
    without_quote: CompiledRules = field(repr=False)


@dataclass(frozen=True, slots=True)
class ActiveRules:
    """One version with the exceptions from its rules. The object does not change while a group uses it."""

    rules: Version
    variances: Variances
    revision: int
    """The number of the latest exception in `variances`."""

    @property
    def version(self) -> int:
        return self.rules.number

    def compiled(self, gate: str) -> CompiledRules:
        """Returns the compiled rules of this gate: "lookup", "quote" or "transfer"."""
        return self.rules.by_gate[cast(Gate, gate)]

    @property
    def for_transfers_without_quote(self) -> CompiledRules:
        """The rules of the quote and of the transfer, for a transfer whose quote did not pass through this hub."""
        return self.rules.without_quote


class _Process:
    """This process's copy of the active rules. Several threads may read and replace the attributes."""

    def __init__(self) -> None:
        self.compiling = threading.Lock()
        self.was_ever_active = False
        self.asked_at = float("-inf")
        self.kept: ActiveRules | None = None


_process = _Process()


def current() -> ActiveRules | None:
    """Returns the rules that are active now, or None. Each group must call this once, in its transaction."""
    found = current_at()
    return None if found is None else found[0]


def current_at() -> tuple[ActiveRules, datetime] | None:
    """Returns the active rules or None, together with the time of the database's clock."""
    process = _process
    if not process.was_ever_active:
        asked_at = time.monotonic()
        if asked_at - process.asked_at < _REFRESH_S:
            return None
    active = store.active()
    if active.was_ever:
        process.was_ever_active = True
    elif not process.was_ever_active:
        process.asked_at = asked_at  # only after a successful read, so that a failed read lets no payment pass
    return None if active.version is None else (_rules(process, active, active.version), active.now)


def _rules(process: _Process, active: Active, number: int) -> ActiveRules:
    kept = process.kept
    if kept is not None and kept.version == number and kept.revision == active.variances:
        return kept
    with process.compiling:
        kept = process.kept
        version = kept.rules if kept is not None and kept.version == number else read(number)
        process.kept = ActiveRules(version, store.variances(active.variances), active.variances)
        return process.kept


def read(number: int) -> Version:
    """Returns a compiled version. Raises CannotBeRead if this release reads the version differently."""
    try:
        rule_set = accept_text(store.content(number))
    except RuleSetRefused as refused:
        raise CannotBeRead(f"version {number} of the rules: {refused}") from None
    return Version(
        number,
        rule_set,
        {gate: compile_rules(rule_set, gate) for gate in GATES},
        compile_rules(rule_set, "transfer", with_rules_of=_ALSO_AT_TRANSFERS),
    )


def was_ever_active() -> bool:
    """Returns whether this process knows of any active or earlier active version. Runs no SQL statement."""
    return _process.was_ever_active


def notice() -> None:
    """Makes this process read the database for the next group. Called after a change of the active rules."""
    _process.was_ever_active = True


def forget() -> None:
    """Makes the next group read the database. Used by tests that replace the database."""
    global _process
    _process = _Process()
