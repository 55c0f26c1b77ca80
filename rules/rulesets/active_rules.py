"""The rules that judge payments now. The hub reads the active rules once for each group of messages, at the group's
beginning.

If no version was ever active and no kill switch is on, a group runs no SQL statement for the rules. In this case, the
process reads the database once a second. In every other case, each group runs one SQL statement. This SQL statement
acquires a lock that conflicts with the activation of another version. After acquiring the lock, the SQL statement reads
the active version. So the hub judges all payments of a group by the same version. After the commit of an activation, no
process judges a group by the earlier version.

A thread compiles a new version as soon as a process finds the version in the database. A version is already in the
database when two people activate the version. So a payment waits for a compilation only if a version is activated
within a second after its creation.
"""

import contextlib
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import cast

import structlog
from django.db import connection, transaction
from msgspec.structs import replace

from rules.decide import Variances
from rules.facts import Gate
from rules.language.checks_of_well_formed_rules import accept_stored
from rules.language.compile import compile_rules
from rules.language.compiled_types import CompiledRules
from rules.language.faults import RuleSetRefused
from rules.language.needed_counters import comparisons
from rules.language.needed_lists_and_markers import is_about_labels
from rules.language.rule_types import Refuse, RuleSet
from rules.rulesets import sql_for_payments
from rules.rulesets.sql_for_payments import Active

log = structlog.get_logger("rules")

GATES: tuple[Gate, ...] = ("lookup", "quote", "transfer")

ALSO_AT_TRANSFERS: tuple[Gate, ...] = ("quote",)

_REFRESH_S = 1.0
"""If the database shows that no version was ever active, a process relies on this result for the given number of
seconds."""


class CannotBeRead(Exception):
    """The error for active rules that this release cannot read, because the rules use a different version of the
    language. Until people activate other rules, the hub cannot judge payments and refuses every payment with 2001.
    """


@dataclass(frozen=True, slots=True)
class Version:
    """A version of the rules, compiled for each gate. The rules in this object never change."""

    number: int | None  # None if no rules are active, but a kill switch is on
    rule_set: RuleSet
    by_gate: Mapping[Gate, CompiledRules] = field(repr=False)
    without_quote: CompiledRules = field(repr=False)
    judged_again: CompiledRules = field(repr=False)
    at_releases: CompiledRules = field(repr=False)
    """The live rules that refuse payments because of lists or markers. The hub applies these rules again before it
    sends a held transfer."""


@dataclass(frozen=True, slots=True)
class ActiveRules:
    """One version of the rules, and the exceptions that exempt DFSPs from these rules.

    The object does not change while a group uses the object.
    """

    rules: Version
    variances: Variances
    revision: int
    """The number of the latest exception in `variances`."""

    @property
    def version(self) -> int | None:
        """The number of the version. The result is None if no rules are active but a kill switch is on."""
        return self.rules.number

    def compiled(self, gate: str) -> CompiledRules:
        """Returns the compiled rules of this gate: "lookup", "quote" or "transfer"."""
        return self.rules.by_gate[cast(Gate, gate)]

    @property
    def for_transfers_without_quote(self) -> CompiledRules:
        """The rules for a transfer whose quote did not pass through this hub. The result contains the rules of the
        gates at the quote and at the transfer.
        """
        return self.rules.without_quote

    @property
    def for_transfers_judged_again(self) -> CompiledRules:
        """The rules of the quote gate and of the transfer gate, except the quote gate's rules about the quote's
        expiration. These rules judge a transfer that differs from its quote."""
        return self.rules.judged_again


class _Process:
    """This process's copy of the active rules. Several threads can read and replace the attributes at the same time."""

    def __init__(self) -> None:
        self.compiling = threading.Lock()
        self.preparing = threading.Lock()
        self.was_ever_active = False
        self.asked_at = float("-inf")
        self.kept: ActiveRules | None = None
        self.compiled: dict[int, Version | None] = {}
        """The versions that are active or can soon be active. The value is None if the compilation is not finished, or
        if the version has a fault."""


_process = _Process()


def current() -> ActiveRules | None:
    """Returns the rules that are active now, or None. Each group must call this function once, in the group's database
    transaction."""
    found = current_at()
    return None if found is None else found[0]


def current_at() -> tuple[ActiveRules, datetime] | None:
    """Returns the active rules or None. The result also has the time of the database's clock."""
    process = _process
    asked_at = time.monotonic()
    if not process.was_ever_active and asked_at - process.asked_at < _REFRESH_S:
        return None
    active = sql_for_payments.active()
    if active.was_ever:
        process.was_ever_active = True
    elif not process.was_ever_active and not active.is_any_switch_on:
        # Set only after a successful read. So after a failed read, no payment passes without a check.
        process.asked_at = asked_at
    _prepare(process, active)
    if active.version is not None:
        return _rules(process, active, active.version), active.now
    return (_no_rules(), active.now) if active.is_any_switch_on else None


def _rules(process: _Process, active: Active, number: int) -> ActiveRules:
    kept = process.kept
    if kept is not None and kept.version == number and kept.revision == active.variances:
        return kept
    with process.compiling:
        kept = process.kept
        version = kept.rules if kept is not None and kept.version == number else process.compiled.get(number)
        process.kept = ActiveRules(
            version or read(number), sql_for_payments.variances(active.variances), active.variances
        )
        return process.kept


def _prepare(process: _Process, active: Active) -> None:
    """Begins to compile versions that can soon be active. The thread for the compilation has no connection to the
    database."""
    expected = [number for number in active.expected if number != active.version]
    new = [number for number in expected if number not in process.compiled]
    if not new or not process.preparing.acquire(blocking=False):
        return
    compiled = process.compiled
    try:
        contents = {number: sql_for_payments.content(number) for number in new[:_MOST_EXPECTED]}
        kept = {number: version for number, version in compiled.items() if number in active.expected}
        process.compiled = kept | dict.fromkeys(contents)
        threading.Thread(target=_compile, args=(process, contents), name="rules", daemon=True).start()
    except BaseException:
        # The thread that would release the lock has not started. So this code releases the lock for the next group.
        process.compiled = compiled
        process.preparing.release()
        raise


def _compile(process: _Process, contents: Mapping[int, bytes]) -> None:
    try:
        for number, content in contents.items():
            # The hub refuses to activate a version with a fault, and reports the place of the fault.
            with contextlib.suppress(CannotBeRead):
                process.compiled[number] = _version(number, content)
    finally:
        process.preparing.release()


_MOST_EXPECTED = 4


def read(number: int) -> Version:
    """Returns a compiled version. Raises CannotBeRead if the rules use a version of the language that this release
    cannot read."""
    return _version(number, sql_for_payments.content(number))


def _version(number: int, content: bytes) -> Version:
    try:
        rule_set = accept_stored(content)
    except RuleSetRefused as refused:
        raise CannotBeRead(f"version {number} of the rules: {refused}") from None
    return _of(number, rule_set)


def _of(number: int | None, rule_set: RuleSet) -> Version:
    return Version(
        number,
        rule_set,
        {gate: compile_rules(rule_set, gate) for gate in GATES},
        compile_rules(rule_set, "transfer", with_rules_of=ALSO_AT_TRANSFERS),
        compile_rules(for_judging_again(rule_set), "transfer", with_rules_of=ALSO_AT_TRANSFERS),
        compile_rules(_about_labels(rule_set), "transfer", with_rules_of=ALSO_AT_TRANSFERS),
    )


def for_judging_again(rule_set: RuleSet) -> RuleSet:
    """Leaves out those rules of the quote gate that read the quote's expiration. A transfer has an expiration of its
    own."""
    rules = rule_set.rules
    found = [
        each
        for each in rules
        if each.gate == "transfer" or all(part.fact != "expires_in" for part in comparisons(each.whole_condition))
    ]
    return replace(rule_set, rules=tuple(found))


def _about_labels(rule_set: RuleSet) -> RuleSet:
    rules = rule_set.rules
    found = [
        each for each in rules if each.mode == "live" and isinstance(each.action, Refuse) and is_about_labels(each)
    ]
    return replace(rule_set, rules=tuple(found))


@cache
def _no_rules() -> ActiveRules:
    return ActiveRules(_of(None, RuleSet(name="", rules=())), {}, 0)


def begin_to_load() -> threading.Thread:
    """At the start of a process, compiles the active version in a thread, so that the first payment does not wait."""
    thread = threading.Thread(target=_load, name="rules-at-start", daemon=True)
    thread.start()
    return thread


def _load() -> None:
    try:
        try:
            with transaction.atomic():
                current()
        finally:
            connection.close()
    except Exception:
        # This error is not final: the first payment reads the rules again, and then reports the fault.
        log.info("rules_not_loaded", exc_info=True)


def was_ever_active() -> bool:
    """Returns whether this process has found a version that is active or was active earlier. Runs no SQL statement."""
    return _process.was_ever_active


def notice() -> None:
    """Ensures that this process reads the database for the next group. The function is called after a change of the
    active rules."""
    _process.was_ever_active = True


def forget() -> None:
    """Ensures that the next group reads the database. Only tests that replace the database use this function."""
    global _process
    _process = _Process()
