"""The gate at the transfer. The gate judges and counts the transfers of a group in the same database transaction that
reserves the transfers.

The ledger opens the gate for the group's new transfers. Before that, the ledger has locked the stored transfers that
will end because of the group's messages. The ledger locks accounts only after the gate has opened. When the gate opens,
the gate reads and locks profiles. The gate judges and counts one transfer after another. The gate changes only its own
copies of the profiles, so each verdict includes the earlier transfers of the group. The method `save` writes the
changes in the ledger's database transaction.

The gate locks a profile only if a live rule reads this profile and could refuse the transfer. For all other profiles,
the gate only inserts rows. A periodic task later reads these rows and adds the payments to the profiles
(`rules.profiles.folding`). So payments to a popular payee do not wait for each other, unless a rule sets an exact limit
for this payee.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from msgspec.structs import replace

from rules import decide, lists_markers_and_kill_switches, recorded_counters
from rules.decide import Verdict
from rules.facts import Facts
from rules.language.compiled_types import CompiledRules
from rules.language.counter_types import Need, Subject
from rules.paid_before import PaidBefore
from rules.party_keys import dfsp_key
from rules.profiles import exact_counts, store
from rules.profiles.counted_payments import NOT_CONFIRMED, CountedPayment, Keys, Role
from rules.profiles.counters import Original, ProfileCounters
from rules.profiles.events_and_buckets import Profile
from rules.profiles.profiles_of_payment import (
    Limit,
    is_refund,
    keys_of_subjects,
    keys_to_count,
    keys_to_lock,
    limits_of,
    subjects_read,
)
from rules.rulesets import decisions

_NOT_READ = datetime(1970, 1, 1, tzinfo=UTC)  # the gate reads the clock only after the gate has the locks
_SECOND = timedelta(seconds=1)
_COUNTED_IF_NEEDED: frozenset[Subject] = frozenset({"payer_dfsp", "payee_dfsp", "pair"})


class TransferToJudge(msgspec.Struct, frozen=True):
    """A new transfer or conversion. If the quote passed through this hub, `quoted` contains the facts of the quote."""

    digest: bytes  # the digest of the message, because two messages of a group can have the same transfer id
    transfer_id: str
    payer_dfsp: str
    payee_dfsp: str
    currency: str
    amount: int
    expires_at: datetime
    quoted: Facts | None = None
    judged_by: int | None = None  # the version of the rules that judged the quote
    transaction_id: str | None = None
    bulk: bool = False
    fx: bool = False  # the rules judge a conversion, but no profile counts it, because a conversion has no parties
    # A transfer without a quote names these parties itself:
    payer: int | None = None
    payee: int | None = None
    payee_alias: int | None = None
    payer_alias: int | None = None


@dataclass(frozen=True, slots=True)
class RulesAtTransfers:
    """The active rules, compiled for this gate."""

    version: int | None  # None if no rules are active, but a kill switch is on
    compiled: CompiledRules
    without_quote: CompiledRules
    """The rules of the quote gate and of the transfer gate, for transfers without a quote."""
    judged_again: CompiledRules
    """For transfers that differ from the judged quote: the rules of the quote gate and of the transfer gate, without
    the rules about the quote's expiration."""
    variances: decide.Variances = field(default_factory=dict)
    counted_too: frozenset[Subject] = frozenset()
    """The subjects that a rule at any gate reads, except the parties."""
    counts: bool = True
    """Whether profiles count the payments."""

    def of(self, facts: Facts) -> CompiledRules:
        """Returns the rules that judge a transfer with these facts."""
        return rules_at_transfer(facts, self.compiled, self.without_quote, self.judged_again)


def rules_at_transfer(
    facts: Facts, compiled: CompiledRules, without_quote: CompiledRules, judged_again: CompiledRules
) -> CompiledRules:
    """Returns the rules that judge a transfer with these facts. The result has the rules of the transfer gate. The
    result also has rules of the quote gate if the hub has not judged the quote, or if the transfer differs from the
    judged quote. An FX quote has an expiration of its own. So the rules about expirations never judge a conversion in
    place of its FX quote."""
    if not facts.quoted and not facts.fx:
        return without_quote
    return judged_again if facts.is_judged_again else compiled


@dataclass(frozen=True, slots=True)
class Judged:
    """The verdict about one transfer, and the facts of the transfer."""

    transfer: TransferToJudge
    facts: Facts
    verdict: Verdict


class TransferGate:
    """One group of transfers at the gate. Only the method `save` runs SQL statements."""

    def __init__(
        self,
        rules: RulesAtTransfers | None,
        transfers: Mapping[bytes, tuple[TransferToJudge, Facts, Verdict | None]],
        counters: ProfileCounters,
        locked: Mapping[int, Profile],
        folded: Collection[int],
        ending: Mapping[str, CountedPayment],
    ) -> None:
        self._rules, self._transfers, self._counters = rules, transfers, counters
        self._locked, self._folded, self._ending = locked, folded, ending
        self._counted: list[CountedPayment] = []
        self._unfolded: list[tuple[int, Role, str]] = []
        self._removed: list[tuple[int, str, Role]] = []
        self.judged: list[Judged] = []

    def judge(self, digest: bytes, now: datetime) -> Verdict:
        """Returns the verdict about a transfer that is about to be reserved."""
        if self._rules is None:
            return decide.ALLOW
        transfer, facts, stopped = self._transfers[digest]
        facts = replace(facts, now=now, expires_in_s=(transfer.expires_at - now) // _SECOND)
        rules = self._rules.of(facts)
        verdict = decide.verdict_of(decide.judge(facts, rules, self._counters, self._rules.variances))
        if stopped is not None:
            verdict = replace(stopped, hits=verdict.hits)
        self.judged.append(Judged(transfer, self._as_stored(transfer, facts, verdict), verdict))
        return verdict

    def _as_stored(self, transfer: TransferToJudge, facts: Facts, verdict: Verdict) -> Facts:
        """If the hub stores the verdict, returns the facts together with the counters that the rules read."""
        if self._rules is None or facts.counters or not decisions.is_kept(transfer.transfer_id, verdict):
            return facts
        compiled = self._rules.of(facts)
        read = recorded_counters.read_by(facts, compiled, self._counters, self._rules.variances)
        return replace(facts, counters=read)

    def overrule(self, verdict: Verdict) -> None:
        """Replaces the verdict about the transfer that was judged last. This transfer cannot be held, so the new
        verdict is a refusal."""
        last = self.judged.pop()
        facts = self._as_stored(last.transfer, last.facts, verdict)  # no transfer was counted after the first verdict
        self.judged.append(Judged(last.transfer, facts, verdict))

    def count(self, digest: bytes, now: datetime) -> None:
        """Counts a transfer. The ledger calls this method when the transfer is reserved."""
        transfer, facts, _ = self._transfers[digest]
        if transfer.fx or (self._rules is not None and not self._rules.counts):
            return
        payment = CountedPayment(
            transfer_id=transfer.transfer_id,
            keys=keys_to_count(facts, self._rules.counted_too if self._rules else ()),
            # If there is no quote, the payee DFSP has not confirmed that it serves the payee.
            served_by=dfsp_key(transfer.payee_dfsp) if facts.quoted else NOT_CONFIRMED,
            is_refund=is_refund(facts),
            currency=transfer.currency,
            amount=transfer.amount,
            reserved_at=now,
            transaction_id=None if transfer.transaction_id == transfer.transfer_id else transfer.transaction_id,
        )
        if payment.keys == _NOWHERE:
            return
        self._counted.append(payment)
        payment.count_in(self._counters.profiles)
        for role, key in payment.keys.by_role():
            if key not in self._locked:
                self._unfolded.append((key, role, payment.transfer_id))

    def uncount(self, transfer_id: str) -> None:
        """Removes an aborted transfer from the gate's copies of the profiles. The ledger calls this method when the
        transfer is aborted.

        A trigger of the transfers' table inserts the rows that later change the profiles of an aborted transfer. So
        this method changes only the copies. The gate judges the next transfers of the group by these copies.
        """
        payment = self._ending.get(transfer_id)
        if payment is None:
            return
        for role, key in payment.keys.by_role():
            profile = self._counters.profiles.get(key)
            if profile is not None and payment.remove_from(profile, role) and key in self._locked:
                self._removed.append((key, transfer_id, role))

    def save(self) -> None:
        """Writes the counted transfers. The ledger must first write the transfers, and then call this method."""
        changed = {key: profile for key, profile in self._locked.items() if profile.is_changed}
        if self._counted:
            store.add_counted(self._counted, changed)
        elif changed:
            store.save(changed)
        if self._folded:
            store.delete_unfolded(self._folded)
        if self._removed:
            store.delete_removals(self._removed)
        if self._unfolded:
            store.add_unfolded(self._unfolded)
        if self._rules is not None and self.judged:
            judged = [decisions.Judged(each.transfer.transfer_id, each.facts, each.verdict) for each in self.judged]
            decisions.save(self._rules.version, judged)


_NOWHERE = Keys()


def open_gate(
    transfers: Sequence[TransferToJudge],
    ending: Collection[str],
    *,
    rules: RulesAtTransfers | None,
    originals: Mapping[str, Original],
    now: datetime,
) -> TransferGate:
    """Reads and locks the rows that are needed to judge and count these transfers. `ending` has the transfers that the
    group's messages can abort. `now` is the time at which the group read the active rules."""
    facts = [facts_of(transfer, version=None if rules is None else rules.version) for transfer in transfers]
    stopped: Sequence[Verdict | None] = [None] * len(facts)
    needs: Collection[Need] = ()
    limits: Sequence[Limit] = ()
    if rules is not None:
        # All counters of this gate's rules are also counters of the rules of both gates.
        is_about_both = any(rules.of(each) is not rules.compiled for each in facts)
        read_by = rules.without_quote if is_about_both else rules.compiled
        needs, limits = read_by.needs, limits_known(rules.compiled)
        facts = lists_markers_and_kill_switches.labelled(
            facts, lists=bool(read_by.lists), markers=bool(read_by.markers)
        )
        stopped = lists_markers_and_kill_switches.stopped(facts)
    judged = {
        transfer.digest: (transfer, each, stop) for transfer, each, stop in zip(transfers, facts, stopped, strict=True)
    }
    to_lock = {key for each in facts for key in keys_to_lock(each, limits)}
    locked, pending = store.lock(to_lock) if to_lock else ({}, [])
    for each in pending:
        each.apply_to(locked[each.key])
    to_read = keys_to_read(facts, needs) - to_lock
    ends = store.counted(ending) if ending and (to_lock or to_read) else {}
    if rules is not None and locked:
        pending += exact_counts.keep_again(
            locked, facts, rules.compiled.needs, now=now, ending=ends.values(), known={each.id for each in pending}
        )
    profiles = {**locked, **(store.read(to_read) if to_read else {})}
    counters = ProfileCounters(profiles, PaidBefore(_pairs(facts)), originals)
    return TransferGate(rules, judged, counters, locked, [each.id for each in pending], ends)


def counters_unlocked(
    facts: Sequence[Facts], needs: Collection[Need], originals: Mapping[str, Original] | None = None
) -> ProfileCounters:
    """Returns the counters for payments that are judged at the quote. The function reads the latest profiles without a
    lock."""
    keys = keys_to_read(facts, needs)
    return ProfileCounters(store.read(keys) if keys else {}, PaidBefore(_pairs(facts)), originals or {})


def keys_to_read(facts: Iterable[Facts], needs: Collection[Need]) -> set[int]:
    """Returns the profiles that contain the counters of these payments."""
    subjects = subjects_read(needs)
    return {key for each in facts for key in keys_of_subjects(subjects, each)}


def _pairs(facts: Iterable[Facts]) -> set[tuple[int, int]]:
    return {(each.payer, each.payee) for each in facts if each.payer is not None and each.payee is not None}


def facts_of(transfer: TransferToJudge, *, version: int | None, now: datetime = _NOT_READ, **known: Any) -> Facts:
    """Returns the facts of the quote, but with the transfer's amount. If there is no quote, returns only the facts in
    the transfer itself.

    `version` is the version of the rules that judges the transfer. `known`: further facts.
    """
    if transfer.quoted is None:
        return Facts(
            gate="transfer",
            now=now,
            payer_dfsp=transfer.payer_dfsp,
            payee_dfsp=transfer.payee_dfsp,
            currency=transfer.currency,
            amount=transfer.amount,
            has_details=False,
            quoted=False,
            payer=transfer.payer,
            payee=transfer.payee,
            payee_alias=transfer.payee_alias,
            payer_alias=transfer.payer_alias,
            bulk=transfer.bulk,
            fx=transfer.fx,
            is_judged_again=transfer.fx,
            **known,
        )
    judged = transfer.quoted
    is_as_judged = (judged.currency, judged.amount) == (transfer.currency, transfer.amount)
    if transfer.fx:  # for the payee's conversion, the FXP pays, but in the facts of the FX quote, the FXP is paid
        is_as_judged = is_as_judged and (judged.payer_dfsp, judged.payee_dfsp) == (
            transfer.payer_dfsp,
            transfer.payee_dfsp,
        )
    return replace(
        judged,
        gate="transfer",
        now=now,
        payer_dfsp=transfer.payer_dfsp,
        payee_dfsp=transfer.payee_dfsp,
        currency=transfer.currency,
        amount=transfer.amount,
        bulk=transfer.bulk,
        fx=transfer.fx,
        is_judged_again=transfer.judged_by != version or not is_as_judged,
        **known,
    )


_limits: tuple[CompiledRules | None, Sequence[Limit]] = (None, ())


def limits_known(compiled: CompiledRules) -> Sequence[Limit]:
    """Returns the limits among these rules. The function searches the rules of a version for limits only once."""
    global _limits
    known = _limits
    if known[0] is not compiled:
        known = _limits = (compiled, limits_of(compiled))
    return known[1]


def counted_too(compiled: Iterable[CompiledRules]) -> frozenset[Subject]:
    """Returns the subjects whose profiles the rules of these gates read. Leaves out the parties."""
    return subjects_read({need for rules in compiled for need in rules.needs}) & _COUNTED_IF_NEEDED
