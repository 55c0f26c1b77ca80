"""Applies rules again to the stored payments, in the order of time. The code and the kinds of counters are the same as
for live payments.

A replay of the live version must give the decisions that the hub stored. A replay of another rule set shows the
decisions that this rule set would have made. A replay changes nothing in the database. The hub can process payments
during a replay. The memory use of a replay does not grow with the length of the history.

A replay computes the counters from the stored payments. If a payment has no stored facts, a replay does not judge the
payment. For example, the hub stored no facts of a quote if, at the quote's arrival, no rules were active and
RULES_COUNT was off. A replay ignores kill switches, because kill switches are not part of the rules. In a replay, rules
use the present lists and markers, except when the replay reproduces stored decisions.
"""

import gc
from collections import OrderedDict, deque
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import datetime, timedelta
from heapq import heappop, heappush
from typing import Any

import msgspec
from django.conf import settings
from msgspec.structs import replace

from ledger.commands_and_outcomes import Refusal
from ledger.held_transfers.whether_to_hold import with_hold
from ledger.hold_and_post import HOLD_IS_REFUSED_BY
from ledger.rule_history import stored_payments
from ledger.rule_history.bounded_profiles import BoundedProfiles
from ledger.rule_history.replay_report import Report
from ledger.rule_history.replayed_rules import ActiveThen, ReplayedRules, VariancesThen
from ledger.rule_history.stored_payments import DecisionOnly, Stored, StoredDecision, StoredQuote, StoredTransfer
from quotes.rules_gate import TIME_TO_ANSWER
from rules import decide, kept_verdicts, lists_markers_and_kill_switches, originals
from rules import facts as facts_of_payments
from rules.decide import Hit, Verdict
from rules.facts import Facts
from rules.kept_verdicts import Kept
from rules.language.compiled_types import CompiledRules
from rules.language.counter_types import Counters
from rules.language.refusal_codes import OUT_OF_TIME
from rules.lists.models import PartyList
from rules.markers.models import Marker
from rules.party_keys import dfsp_key
from rules.profiles.counted_payments import NOT_CONFIRMED, CountedPayment
from rules.profiles.counters import Original, ProfileCounters
from rules.profiles.events_and_buckets import Event, Profile
from rules.profiles.profiles_of_payment import asks_for, is_refund, keys_to_count
from rules.recorded_counters import RecordedCounters

_AFTER_THE_GATE = frozenset(each.value for each in (Refusal.REFUSED_BY_RULE, *HOLD_IS_REFUSED_BY))
"""The refusals that a transfer can get after the rules have judged it. A transfer with any other refusal was not
judged."""
_Complete = Callable[[Verdict, Facts], Verdict]
_MOST_REMEMBERED = 200_000
_COMMITS_WITHIN = timedelta(seconds=10)
"""A group reads the profiles before it locks the accounts. If an abort commits in between, the group still counts the
aborted payment, although the abort has the earlier time. This is the longest time between the two times."""
_MOST_ABORTS_TRIED = 100


def run(
    rules: ReplayedRules,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    tell: Callable[[int, int], None] = lambda done, of: None,
) -> Report:
    """Replays the stored history up to the end of this period. The report contains only the payments of this period.
    Calls the function `tell` with the progress."""
    with BoundedProfiles() as profiles:
        with stored_payments.one_snapshot():
            replay = _Replay(rules, profiles, since)
            # If no rule judges quotes, the replay needs the stored decisions about quotes, but not the quotes.
            with_quotes = rules.follows_history or bool(rules.by_gate["quote"].rules)
            whole = stored_payments.number(with_quotes=with_quotes)
            rows = stored_payments.StoredRows(with_quotes=with_quotes)
        with closing(rows):
            for done, stored in enumerate(rows):
                if until is not None and stored.at >= until:
                    break
                replay.take(stored)
                if done % 1_000 == 0:
                    tell(done, whole)
        tell(whole, whole)
        return replay.report


@contextmanager
def without_cycles() -> Iterator[None]:
    """Switches off Python's cyclic garbage collector in the whole process. The process must do nothing except a replay.

    A replay creates no reference cycles. The garbage collector would need much time to search all profiles.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


class _Replay:
    def __init__(self, rules: ReplayedRules, profiles: BoundedProfiles, since: datetime | None) -> None:
        self._rules, self._profiles, self._since = rules, profiles, since
        self._originals: dict[str, Original] = {}  # the original of the refund that is judged now
        self._counters = ProfileCounters(profiles, profiles.paid_before, self._originals)
        needs = {need for compiled in (*rules.by_gate.values(), rules.without_quote) for need in compiled.needs}
        self._asks_paid_before = asks_for(needs, "paid_before")
        # A replay searches lists and markers only if at least one list or marker exists.
        self._is_labelled = not rules.follows_history and (PartyList.objects.exists() or Marker.objects.exists())
        self._active, self._variances = ActiveThen(), VariancesThen()
        self._erased_before = stored_payments.facts_erased_before()
        # the refusals and holds that the replayed rules decided for quotes, by quote id
        self._kept: OrderedDict[str, Kept] = OrderedDict()
        # the transfers that the replayed rules refuse; when a transfer ends, the replay removes its id from this set
        self._never_reserved: set[str] = set()
        # a heap of pairs (payer, payee), sorted by the time of their commit
        self._in_flight: list[tuple[datetime, tuple[int, int]]] = []
        self._is_estimated = False  # whether a limit read an estimated counter of the payment that is judged now
        self._latest_aborts: deque[tuple[datetime, CountedPayment]] = deque(maxlen=_MOST_ABORTS_TRIED)
        self.report = Report()

    def take(self, stored: Stored) -> None:
        while self._in_flight and self._in_flight[0][0] <= stored.at:
            self._profiles.paid_before.add(heappop(self._in_flight)[1])
        match stored:
            case StoredTransfer(is_end=True):
                self._end(stored)
            case StoredTransfer():
                self._transfer(stored)
            case StoredQuote():
                self._quote(stored)
            case DecisionOnly():
                self._decision_only(stored)

    # --- transfers ----------------------------------------------------------------------------------------------------

    def _transfer(self, t: StoredTransfer) -> None:
        kept = stored_payments.kept_of(t)
        facts = self._facts_of(t, kept)
        if facts is None and (self._since is None or t.received_at >= self._since):
            self.report.not_judged += 1
        is_refused = False
        if facts is not None and (t.was_reserved or t.reason in _AFTER_THE_GATE):
            is_refused = self._judge_transfer(t, facts, kept)
        if not t.was_reserved:
            return
        if is_refused and not self._rules.follows_history:
            if t.is_aborted_later:
                self._never_reserved.add(t.transfer_id)
            return
        payment = self._payment(t, facts)
        if payment is not None:
            self._count(payment)
            pair = _pair(payment)
            if self._asks_paid_before and pair is not None and t.committed_at is not None:
                heappush(self._in_flight, (t.committed_at, pair))

    def _judge_transfer(self, t: StoredTransfer, facts: Facts, kept: Kept | None) -> bool:
        """Applies the rules to a transfer. Returns whether the replayed rules refuse the transfer or its quote."""
        if not self._rules.follows_history:
            if kept is not None:
                is_judged_again = (kept.facts.currency, kept.facts.amount) != (t.currency, t.amount)
                if facts.is_judged_again != is_judged_again:
                    facts = replace(facts, is_judged_again=is_judged_again)
            kept = self._kept.pop(t.quote_id or "", None)
            if kept is not None and kept.refusal is not None and not t.is_in_bulk:
                return True  # the report already contains the refusal of the transfer's quote

        def with_quote(verdict: Verdict, facts: Facts) -> Verdict:
            expires_at = t.expires_at if t.terms_expire_at is None else min(t.expires_at, t.terms_expire_at)
            return with_hold(verdict, kept, now=facts.now, expires_at=expires_at, is_in_bulk=t.is_in_bulk)[0]

        rules = self._rules.at_transfer(facts)
        return self._judged(t.transfer_id, facts, rules, t.decision, with_quote).outcome == "REFUSE"

    def _payment(self, t: StoredTransfer, facts: Facts | None) -> CountedPayment | None:
        """Returns the payment with the values that this replay counts, for example the amount."""
        if self._rules.follows_history or facts is None:
            return t.counted(self._rules.reads_profiles_of)
        return CountedPayment(
            transfer_id=t.transfer_id,
            keys=keys_to_count(facts, self._rules.reads_profiles_of),
            served_by=dfsp_key(t.payee_dfsp) if facts.quoted else NOT_CONFIRMED,
            is_refund=is_refund(facts),
            currency=t.currency,
            amount=t.amount,
            reserved_at=t.received_at,
        )

    def _count(self, payment: CountedPayment) -> None:
        self._profiles.has_grown(payment.count_in(self._profiles))

    def _facts_of(self, t: StoredTransfer, kept: Kept | None) -> Facts | None:
        version = self._rules.version if self._rules.follows_history else None
        found = stored_payments.facts_at_transfer(t, kept, version=version, erased_before=self._erased_before)
        return None if found is None else self._with_original(found)

    def _with_original(self, facts: Facts) -> Facts:
        """If the payment is a refund, returns the facts with the ids of the original. Reads the originals one by one,
        because there are few refunds."""
        if facts.refund_of is None:
            return facts
        (found,), named = originals.of([facts], until=facts.now)
        self._originals.clear()
        self._originals.update(named)
        return found

    def _end(self, t: StoredTransfer) -> None:
        if t.transfer_id in self._never_reserved:
            self._never_reserved.discard(t.transfer_id)
            return
        payment = self._payment(t, self._facts_of(t, stored_payments.kept_of(t)))
        if payment is None:
            return
        for role, key in payment.keys.by_role():
            payment.remove_from(self._profiles[key], role)
        self._latest_aborts.append((t.at, payment))

    # --- quotes, lookups and payments with only a decision
    # -----------------------------------------------------------------

    def _quote(self, q: StoredQuote) -> None:
        compiled = self._rules.by_gate["quote"]
        for quote_id, kept in kept_verdicts.from_bytes(q.kept).items():
            facts = kept.facts
            if q.decision is not None and q.decision.facts is not None:
                facts = facts_of_payments.from_bytes(q.decision.facts)
            verdict = self._judged(quote_id, self._with_original(facts), compiled, q.decision, self._in_time)
            if self._rules.follows_history or not verdict.hits:
                continue
            mine = kept_verdicts.kept(facts, verdict, 0, compiled.rules)
            if verdict.outcome == "REFUSE":
                self._remember(quote_id, replace(mine, refusal=(verdict.code or "", verdict.text)))
            elif mine.hold_for_s is not None or mine.hold_until is not None:
                self._remember(quote_id, mine)

    def _in_time(self, verdict: Verdict, facts: Facts) -> Verdict:
        if not verdict.hits:
            return verdict
        return _in_time(verdict, kept_verdicts.kept(facts, verdict, 0, self._rules.by_gate["quote"].rules), facts)

    def _remember(self, quote_id: str, kept: Kept) -> None:
        self._kept[quote_id] = kept
        if len(self._kept) > _MOST_REMEMBERED:
            self._kept.popitem(last=False)

    def _decision_only(self, d: DecisionOnly) -> None:
        if d.decision.facts is None:
            self.report.not_judged += 1
            return
        facts = self._with_original(facts_of_payments.from_bytes(d.decision.facts))
        if facts.fx and facts.gate == "quote" and any(hit.get("skipped") for hit in d.decision.hits):
            self.report.not_judged += 1  # an earlier release applied rules about parties to FX quotes
            return
        at_transfer = facts.gate == "transfer"
        compiled = self._rules.at_transfer(facts) if at_transfer else self._rules.by_gate[facts.gate]
        self._judged(d.subject, facts, compiled, d.decision, self._in_time if facts.gate == "quote" else _as_it_is)

    # --- judging ------------------------------------------------------------------------------------------------------

    def _judged(
        self, subject: str, facts: Facts, compiled: CompiledRules, decision: StoredDecision | None, complete: _Complete
    ) -> Verdict:
        """Applies the rules to a payment, and reports the verdict. The function `complete` changes the rules' verdict
        in the same way as the ledger changes the verdict about a live payment."""
        if self._is_labelled and (compiled.lists or compiled.markers):
            (facts,) = lists_markers_and_kill_switches.labelled(
                [facts], lists=bool(compiled.lists), markers=bool(compiled.markers)
            )
        verdict = complete(self._verdict(facts, compiled, self._counters), facts)
        self._is_estimated = self._counters.has_estimated
        if self._since is not None and facts.now < self._since:
            return verdict
        self.report.add(subject, facts, verdict, decision.outcome if decision is not None else "ALLOW")
        if not self._rules.follows_history:
            return verdict
        if decision is not None and decision.version == self._rules.version:
            recorded = RecordedCounters()
            then = complete(self._verdict(facts, compiled, recorded), facts)
            self._compare(
                subject,
                facts,
                then if recorded.is_complete else None,
                verdict,
                decision,
                lambda: complete(self._verdict(replace(facts), compiled, self._counters), facts),
            )
        elif decision is None and verdict.hits and self._active.version_at(facts.now) == self._rules.version:
            if self._active.has_just_changed(facts.now):
                self.report.late += 1  # the group perhaps read the active rules before the planned change
                return verdict
            if facts.gate == "transfer" and stored_payments.has_several_quotes(subject):
                self.report.not_judged += 1  # these are perhaps the facts of another quote
                return verdict
            self._tell_difference(subject, facts, verdict, {hit.rule for hit in verdict.hits}, "no decision")
        return verdict

    def _verdict(self, facts: Facts, compiled: CompiledRules, counters: Counters) -> Verdict:
        return decide.verdict_of(decide.judge(facts, compiled, counters, self._variances.at(facts.now)))

    def _compare(
        self,
        subject: str,
        facts: Facts,
        then: Verdict | None,
        now: Verdict,
        decision: StoredDecision,
        judge: Callable[[], Verdict],
    ) -> None:
        """Compares a stored decision with two decisions of the replay.

        The decision `then` uses the same counters as the stored decision. The decision `now` uses counters that the
        replay computed from the payments. `then` is None if an earlier release of the hub stored the decision without
        counters. `judge` makes the decision `now` again, with the present profiles.
        """
        report, stored = self.report, [_essence(hit) for hit in msgspec.convert(decision.hits, tuple[Hit, ...])]
        told = f"{decision.outcome} {decision.code or ''}".strip()
        report.compared += 1
        again = now if then is None else then
        found = [_essence(hit) for hit in again.hits]
        is_stopped = decision.outcome == "REFUSE" and again.outcome != "REFUSE" and _is_refused_by_no_rule(decision)
        if found != stored or ((again.outcome, again.code) != (decision.outcome, decision.code) and not is_stopped):
            rules = {each[0] for each in {*found} ^ {*stored}}
            self._tell_difference(subject, facts, again, rules, told, may_be_late=then is None)
            return
        report.reproduced += 1
        report.by_kill_switch += is_stopped
        # If the stored decision read a value under a lock, the replay must compute the same value from the payments.
        rules = {each[0] for each in {*found} ^ {_essence(hit) for hit in now.hits}}
        exact = {rule for rule in rules if not self._rules.may_be_late(facts, rule)}
        if self._counted_aborted(facts, judge, exact, [each for each in found if each[0] in exact]):
            report.late += 1
        elif rules:
            self._tell_difference(subject, facts, now, rules, told)

    def _counted_aborted(
        self, facts: Facts, judge: Callable[[], Verdict], limits: Collection[str], hits: Sequence[tuple[Any, ...]]
    ) -> bool:
        """Returns whether these limits decide as stored (`hits`) if some of the latest aborts are not counted."""
        put_back: list[tuple[Profile, Event]] = []
        if not hits:
            return False  # a limit that counts too many payments cannot be the less strict one
        try:
            for at, payment in reversed(self._latest_aborts):
                if at < facts.now - _COMMITS_WITHIN:
                    break
                for role, key in payment.keys.by_role():
                    put_back.append((self._profiles[key], payment.event(role)))
                    self._profiles[key].add(payment.event(role))
                if [each for each in map(_essence, judge().hits) if each[0] in limits] == [*hits]:
                    return True
            return False
        finally:
            for profile, event in put_back:
                profile.remove(event)

    def _tell_difference(
        self,
        subject: str,
        facts: Facts,
        verdict: Verdict,
        rules: Collection[str],
        stored: str,
        *,
        may_be_late: bool = True,
    ) -> None:
        is_late = self._is_estimated or all(self._rules.may_be_late(facts, rule) for rule in rules)
        if may_be_late and rules and is_late:
            self.report.late += 1
            return
        now = f"{verdict.outcome} {verdict.code or ''}".strip()
        names = f", by {', '.join(sorted(rules))}" if rules else ""
        self.report.differs(f"{facts.gate} {subject}: {stored} was stored, {now} was replayed{names}")


def _as_it_is(verdict: Verdict, facts: Facts) -> Verdict:
    return verdict


def _is_refused_by_no_rule(decision: StoredDecision) -> bool:
    """Returns whether the refusal of the payment came from a kill switch or from the verdict about its quote, and not
    from a rule."""
    hits = msgspec.convert(decision.hits, tuple[Hit, ...])
    return decision.code != OUT_OF_TIME and not any(hit.counts and hit.action == "refuse" for hit in hits)


def _essence(hit: Hit) -> tuple[Any, ...]:
    return (hit.rule, hit.action, hit.code, hit.hold_for_s, hit.shadow, hit.skipped, hit.excused)


def _in_time(verdict: Verdict, kept: Kept, facts: Facts) -> Verdict:
    """If the held transfer would expire before the payee could answer, returns a refusal.

    `quotes.rules_gate` has the same check.
    """
    until = kept.held_until(facts.now)
    if until is None or verdict.outcome == "REFUSE" or facts.bulk or facts.fx:
        return verdict
    latest_s: int = settings.TRANSFER_MAX_VALIDITY_S
    # `expires_in_s` leaves out the fraction of a second, so the time left can be up to a second longer.
    left_s = latest_s if facts.expires_in_s is None else min(facts.expires_in_s + 1, latest_s)
    if until + TIME_TO_ANSWER <= facts.now + timedelta(seconds=left_s):
        return verdict
    return replace(verdict, outcome="REFUSE", code=OUT_OF_TIME)


def _pair(payment: CountedPayment) -> tuple[int, int] | None:
    if payment.keys.payer is None or payment.keys.payee is None or payment.is_refund:
        return None
    return payment.keys.payer, payment.keys.payee
