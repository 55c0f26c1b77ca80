"""Checks held transfers against the scheme's rules again, before the hub sends these transfers to their payees.

For a held transfer, this module applies all kill switches. The module also applies those live rules that refuse a
payment because of a list or a marker.

The reason is that one of the transfer's parties may have been blocked or marked after the transfer arrived. This module
does not apply the rules about counters and amounts again. If one of the applied rules also reads counters, these
counters do not include the held transfer itself.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime

from msgspec.structs import replace

from ledger.rule_history import stored_payments
from rules import decide, lists_markers_and_kill_switches, originals
from rules.decide import Verdict
from rules.profiles import store as profiles
from rules.profiles.counted_payments import CountedPayment, Role
from rules.profiles.counters import Original, ProfileCounters
from rules.profiles.events_and_buckets import Profile
from rules.rulesets import decisions
from rules.rulesets.active_rules import ActiveRules
from rules.transfer_gate import counters_unlocked

ACTOR = "the scheme's rules"
"""The actor in the audit trail if the rules refuse a held transfer. Otherwise the actor is a person."""


Active = tuple[ActiveRules, datetime]
"""The active rules with the time of the database's clock (`active_rules.current_at`)."""


def refusals(transfer_ids: Sequence[str], active: Active | None) -> Mapping[str, Verdict]:
    """Returns a refusal for each transfer that the hub must no longer send to its payee. Stores these refusals as
    decisions of the scheme's rules.

    The caller must first read the active rules and then lock the transfers. If there are no active rules and no kill
    switches, runs no SQL statement.
    """
    if active is None:
        return {}
    rules, now = active
    stored = stored_payments.of_transfers(transfer_ids)
    known = {id: stored_payments.facts_at_transfer(each, stored_payments.kept_of(each)) for id, each in stored.items()}
    named = {id: replace(facts, now=now, counters={}) for id, facts in known.items() if facts is not None}
    if not named:
        return {}
    compiled = rules.rules.at_releases
    labelled = lists_markers_and_kill_switches.labelled(
        list(named.values()), lists=bool(compiled.lists), markers=bool(compiled.markers)
    )
    named_originals: Mapping[str, Original] = {}
    if originals.are_needed(compiled.needs):
        labelled, named_originals = originals.of(labelled)
    counters = counters_unlocked(labelled, compiled.needs, named_originals)
    counted = profiles.counted(list(named)) if compiled.needs else {}
    found = {}
    for (id, _), facts, stopped in zip(
        named.items(), labelled, lists_markers_and_kill_switches.stopped(labelled), strict=True
    ):
        with _Without(counters, counted.get(id)):
            verdict = decide.verdict_of(decide.judge(facts, compiled, counters, rules.variances))
        if stopped is not None:
            verdict = replace(stopped, hits=verdict.hits)
        if verdict.outcome == "REFUSE":
            found[id] = facts, verdict
    judged = [decisions.Judged(id, facts, verdict, gate="release") for id, (facts, verdict) in found.items()]
    decisions.save(rules.version, judged)
    return {id: verdict for id, (_, verdict) in found.items()}


class _Without:
    """Removes a payment from the profiles while the rules judge the same payment again."""

    def __init__(self, counters: ProfileCounters, payment: CountedPayment | None) -> None:
        self._counters, self._payment = counters, payment
        self._removed: list[tuple[Profile, Role]] = []

    def __enter__(self) -> None:
        if self._payment is not None:
            for role, key in self._payment.keys.by_role():
                profile = self._counters.profiles.get(key)
                if profile is not None and self._payment.remove_from(profile, role):
                    self._removed.append((profile, role))

    def __exit__(self, *_: object) -> None:
        for profile, role in self._removed:
            assert self._payment is not None
            self._payment.add_to(profile, role)
