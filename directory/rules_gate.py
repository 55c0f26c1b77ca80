"""Applies the scheme's rules to lookups: refuses a lookup of a party that is on a list or has a fraud marker.

Each group of messages has one `LookupGate` object, in the group's database transaction. If the scheme has no active
rules, this module runs no SQL statement.
"""

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime

from msgspec.structs import replace

from directory.lookup_commands import AskParty
from fspiop.errors import FspiopError, scheme_error
from hub.outbox.store import kept_subject
from rules import decide, lists_markers_and_kill_switches, message_facts
from rules.language.counter_types import NoCounters
from rules.rulesets import active_rules, decisions
from rules.rulesets.active_rules import ActiveRules
from rules.rulesets.decisions import Judged


@dataclass(slots=True)
class LookupGate:
    """Applies the scheme's rules to the lookups of one group. Only the method `save` runs SQL statements."""

    rules: ActiveRules
    now: datetime
    judged: list[Judged] = field(default_factory=list)

    def refusal(self, command: AskParty, owner: str) -> FspiopError | None:
        """Checks a lookup against the scheme's rules, after the lookup has passed all other checks. Returns an error if
        the scheme's rules refuse the lookup."""
        facts = message_facts.of_lookup(
            command.alias.type,
            command.alias.identifier,
            command.alias.sub_id,
            currency=command.alias.currency or None,
            payer_dfsp=command.requester.name,
            payee_dfsp=owner,
            now=self.now,
        )
        compiled = self.rules.compiled("lookup")
        # This check uses the process's copies of lists and markers. The rules judge a lookup here and not earlier,
        # because the hub has just found the DFSP of the alias.
        (facts,) = lists_markers_and_kill_switches.labelled(
            [facts], lists=bool(compiled.lists), markers=bool(compiled.markers)
        )
        (stopped,) = lists_markers_and_kill_switches.stopped([facts])
        verdict = decide.verdict_of(decide.judge(facts, compiled, NoCounters(), self.rules.variances))
        if stopped is not None:
            verdict = replace(stopped, hits=verdict.hits)
        # Like the records of deliveries, a decision has a keyed digest. Nobody can find the number by trying numbers.
        self.judged.append(Judged(kept_subject(command.subject), facts, verdict))
        return scheme_error(verdict.code or "", verdict.text) if verdict.outcome == "REFUSE" else None

    def save(self) -> None:
        """Stores the rules' decisions about the group's lookups."""
        decisions.save(self.rules.version, self.judged)


def open_gate(asked: Collection[AskParty]) -> LookupGate | None:
    """Returns the object that checks these lookups. Returns None if there are no lookups or no active rules."""
    if not asked:
        return None
    active = active_rules.current_at()
    return LookupGate(*active) if active is not None else None
