"""Applies the scheme's rules to quotes: judges requests for terms, and stores the verdicts until the transfers arrive.

Each group of messages has one `QuoteGate` object, in the group's database transaction. If the scheme has no active
rules, this module runs no SQL statement. If rules are active, this module runs the same number of SQL statements for
any number of requests.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from django.conf import settings
from msgspec.structs import replace

from fspiop.bodies.bulk_quotes import BulkQuotePost
from fspiop.bodies.fx_quotes import FxQuotePost
from fspiop.bodies.quotes import QuotePost
from fspiop.errors import ErrorCode, FspiopError, scheme_error
from fspiop.money import AmountError
from fspiop.time import format_datetime
from quotes.commands_and_facts import AskTerms, GiveTerms
from rules import decide, kept_verdicts, lists_markers_and_kill_switches, message_facts, originals, recorded_counters
from rules.decide import Verdict
from rules.facts import Facts
from rules.kept_verdicts import Kept
from rules.language.counter_types import Counters, NoCounters
from rules.language.refusal_codes import OUT_OF_TIME
from rules.profiles.counters import Original
from rules.rulesets import active_rules, decisions
from rules.rulesets.active_rules import ActiveRules
from rules.rulesets.decisions import Judged
from rules.transfer_gate import counters_unlocked

TIME_TO_ANSWER = timedelta(seconds=5)
"""The payee must have at least this time between the release of a held transfer and the transfer's expiration."""
NO_VERSION = 0
"""The version that is stored with the facts of a quote if no rules judged the quote."""


@dataclass(slots=True)
class QuoteGate:
    """Applies the scheme's rules to one group's requests for terms. Only the method `save` runs SQL statements."""

    rules: ActiveRules | None  # None if no rules are active, and the hub only counts payments (RULES_COUNT)
    # For each command, the payments: the quote id, the facts, and the refusal if a kill switch stops the payment. An FX
    # quote has facts for each of its amounts, with the same quote id.
    payments: Mapping[str, Sequence[tuple[str, Facts, Verdict | None]]]
    counters: Counters
    faults: Mapping[str, FspiopError]  # for each request with unreadable facts, the error
    now: datetime
    kept: dict[str, bytes] = field(default_factory=dict)  # the facts and verdicts to store, for each command's key
    judged: list[Judged] = field(default_factory=list)

    def fault(self, command: AskTerms) -> FspiopError | None:
        """Returns an error if the rules cannot read the request for terms."""
        return self.faults.get(command.key) if self.rules is not None else None

    def refusal(self, command: AskTerms) -> FspiopError | None:
        """After a request for terms has passed the hub's checks, judges the request by the scheme's rules. Returns an
        error if the scheme's rules refuse the request for terms."""
        if self.rules is None:
            self._keep_facts(command)
            return None
        found = [
            (quote_id, *self._judge(self.rules, quote_id, facts, stopped))
            for quote_id, facts, stopped in self.payments[command.key]
        ]
        refused = [kept.refusal for _, kept, _ in found if kept.refusal is not None]
        # If the rules allow at least one payment, a bulk quote continues.
        if refused and (command.resource != "bulkQuotes" or len(refused) == len(found)):
            return scheme_error(*refused[0])
        late = next((until for _, kept, until in found if _is_too_late(command, kept.facts, until)), None)
        if late is not None and command.resource == "quotes":
            text = f"The scheme delays this payment; it must not expire before {format_datetime(late)}"
            last = self.judged.pop()
            refused_now = replace(last.verdict, outcome="REFUSE", code=OUT_OF_TIME, text=text)
            self.judged.append(Judged(last.subject, last.facts, refused_now))
            return scheme_error(OUT_OF_TIME, text)
        self._keep(command, [(quote_id, kept) for quote_id, kept, _ in found])
        return None

    def refusal_of_terms(self, command: GiveTerms, kept: bytes | None) -> FspiopError | None:
        """Returns an error if the rules would hold the transfer until shortly before these terms expire, or for
        longer."""
        if self.rules is None or self.rules.version is None or kept is None or command.expires_at is None:
            return None
        found = kept_verdicts.from_bytes(kept).get(command.agreement_id)
        until = found.held_until(self.now) if found is not None else None
        if found is None or until is None or until + TIME_TO_ANSWER <= command.expires_at:
            return None
        earliest = format_datetime(until + TIME_TO_ANSWER)
        text = f"The scheme delays this payment; its terms must not expire before {earliest}"
        verdict = Verdict(outcome="REFUSE", code=OUT_OF_TIME, text=text)
        facts = replace(found.facts, now=self.now)
        self.judged.append(Judged(command.agreement_id, facts, verdict, gate="answer"))
        return scheme_error(OUT_OF_TIME, text)

    def _keep_facts(self, command: AskTerms) -> None:
        """Stores the facts of a quote. Rules that become active later can then count the transfer of the quote."""
        payments = self.payments.get(command.key)
        if payments:
            self._keep(command, [(quote_id, Kept(facts, NO_VERSION)) for quote_id, facts, _ in payments])

    def _keep(self, command: AskTerms, found: Sequence[tuple[str, Kept]]) -> None:
        if isinstance(command.details, BulkQuotePost):
            ids = {each.quote_id: each.transaction_id for each in command.details.individual_quotes}
            found = [(quote_id, replace(kept, transaction_id=ids[quote_id])) for quote_id, kept in found]
        # The first facts of an FX quote are those of the source amount, if the source amount is known.
        self.kept[command.key] = kept_verdicts.to_bytes(dict(reversed(found)))

    def _judge(
        self, rules: ActiveRules, quote_id: str, facts: Facts, stopped: Verdict | None
    ) -> tuple[Kept, datetime | None]:
        compiled = rules.compiled("quote")
        verdict = decide.verdict_of(decide.judge(facts, compiled, self.counters, rules.variances))
        if stopped is not None:
            verdict = replace(stopped, hits=verdict.hits)
        read = {}
        if decisions.is_kept(quote_id, verdict):
            read = recorded_counters.read_by(facts, compiled, self.counters, rules.variances)
        self.judged.append(Judged(quote_id, replace(facts, counters=read) if read else facts, verdict))
        kept = kept_verdicts.kept(facts, verdict, rules.version or NO_VERSION, compiled.rules)
        until = kept.held_until(facts.now)
        return kept, None if until is None else until + TIME_TO_ANSWER

    def save(self) -> None:
        """Stores the rules' decisions about the group's requests."""
        if self.rules is not None:
            decisions.save(self.rules.version, self.judged)


def _is_too_late(command: AskTerms, facts: Facts, until: datetime | None) -> bool:
    """Returns whether a held transfer would expire before the payee could answer."""
    if until is None:
        return False
    latest = facts.now + timedelta(seconds=settings.TRANSFER_MAX_VALIDITY_S)
    return until > min(command.expires_at or latest, latest)


def open_gate(asked: Collection[AskTerms], *, delays: bool = False) -> QuoteGate | None:
    """Returns the object that applies the rules to these requests for terms.

    Returns None if there are no requests. Also returns None if no rules are active and the hub does not count payments.

    `delays` must be true if the group contains terms for a payment with stored facts. The rules can delay such a
    payment.
    """
    if not asked and not delays:
        return None
    active = active_rules.current_at()
    if active is None and not settings.RULES_COUNT:
        return None
    # Without active rules, the hub only stores this time, so the hub's own clock is precise enough.
    rules, now = active if active is not None else (None, datetime.now(UTC))
    named: list[tuple[str, str, Facts]] = []
    faults: dict[str, FspiopError] = {}
    for command in asked:
        try:
            named += [(command.key, *each) for each in facts_of(command, now)]
        except FspiopError as fault:
            faults[command.key] = FspiopError(fault.error, fault.detail)  # a copy of the error without its traceback
    if rules is None:
        unjudged: dict[str, list[tuple[str, Facts, Verdict | None]]] = {}
        for key, quote_id, each in named:
            unjudged.setdefault(key, []).append((quote_id, each, None))
        return QuoteGate(None, unjudged, NoCounters(), faults, now)
    compiled = rules.compiled("quote")
    facts = lists_markers_and_kill_switches.labelled(
        [each for _, _, each in named], lists=bool(compiled.lists), markers=bool(compiled.markers)
    )
    named_originals: Mapping[str, Original] = {}
    if originals.are_needed(compiled.needs):
        facts, named_originals = originals.of(facts)
    payments: dict[str, list[tuple[str, Facts, Verdict | None]]] = {}
    for (key, quote_id, _), each, stopped in zip(
        named, facts, lists_markers_and_kill_switches.stopped(facts), strict=True
    ):
        payments.setdefault(key, []).append((quote_id, each, stopped))
    counters = counters_unlocked(facts, compiled.needs, named_originals)
    return QuoteGate(rules, payments, counters, faults, now)


def facts_of(command: AskTerms, now: datetime) -> list[tuple[str, Facts]]:
    """Returns the quote id and the facts of each payment in a request. For an FX quote, returns the facts of each known
    amount.

    Raises FspiopError 3100 if an amount is too large for the hub, or if two payments of a bulk quote have the same
    quote id.
    """
    payer, payee = command.requester.name, command.to or ""
    try:
        match command.details:
            case QuotePost() as body:
                facts = message_facts.of_quote(body, payer_dfsp=payer, payee_dfsp=payee, now=now)
                return [(command.agreement_id, facts)]
            case BulkQuotePost() as body:
                found = message_facts.of_bulk_quote(body, payer_dfsp=payer, payee_dfsp=payee, now=now)
                if len({quote_id for quote_id, _ in found}) < len(found):
                    raise FspiopError(ErrorCode.VALIDATION_ERROR, "individualQuotes: each quoteId must be different")
                return found
            case FxQuotePost() as body:
                return [(command.agreement_id, facts) for facts in message_facts.of_fx_quote(body, now=now)]
    except AmountError as error:
        raise FspiopError(ErrorCode.VALIDATION_ERROR, f"amount: {error}") from None
    raise TypeError(f"a request for terms without its message: {command.key}")
