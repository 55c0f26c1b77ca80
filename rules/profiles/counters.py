"""Reads the counters of rules from profiles. Implements `rules.language.counter_types.Counters`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from rules.facts import Facts
from rules.language.counter_types import Measure, Need, Subject
from rules.party_keys import dfsp_key
from rules.profiles import features
from rules.profiles.counted_payments import microseconds
from rules.profiles.events_and_buckets import Direction, Profile
from rules.profiles.features import SECOND, Series, Tally
from rules.profiles.profiles_of_payment import is_refund, key_of_subject, other_key_of_original

_SENT, _RECEIVED = Direction.SENT, Direction.RECEIVED
_SENDS = frozenset({"payer", "pair", "payer_dfsp"})
_RECEIVES = frozenset({"payee", "alias", "payee_dfsp"})


@dataclass(frozen=True, slots=True)
class Original:
    """A committed payment that a refund names as the original payment."""

    transfer_id: str
    transaction_id: str | None
    """The payment's transaction id, if this id is known and differs from the transfer's id."""
    currency: str
    amount: int
    payer: int | None
    payee: int | None
    committed_at: datetime


class PaidBefore(Protocol):
    """The pairs of payer and payee with a committed payment."""

    def __contains__(self, pair: object, /) -> bool: ...


class ProfileCounters:
    """Reads counters from the profiles that were loaded for a group of payments.

    A window begins `window_s` seconds ago and ends now. A payment at exactly the beginning of a window does not belong
    to the window. A counter that is not exact can also count all payments of the hour or day in which the window
    begins. The counters of limits are exact, because `rules.profiles.exact_counts` prepares the locked profiles.

    `originals` has the original payments by their transfer ids.
    """

    def __init__(
        self,
        profiles: Mapping[int, Profile],
        paid_before: PaidBefore,
        originals: Mapping[str, Original],
    ) -> None:
        self.profiles, self.paid_before, self._originals = profiles, paid_before, originals
        self.has_estimated = False
        """Whether a limit has read a counter of the payment that is judged now, although the profile cannot give the
        exact count. The counter is then too high, except the number of parties."""
        # The values below belong to the payment that is judged now:
        self._facts: Facts | None = None
        self._now = 0
        self._is_refund = False
        self._profiles: dict[Subject, Profile | None] = {}
        self._sent: dict[Subject, Series | None] = {}
        self._received: dict[Subject, Series | None] = {}

    def get(self, need: Need, facts: Facts) -> int | bool | None:
        """Returns the measure, or None if the measure is not known."""
        if facts is not self._facts:
            self._facts, self._now, self._is_refund = facts, microseconds(facts.now), is_refund(facts)
            self._profiles, self._sent, self._received = {}, {}, {}
            self.has_estimated = False
        return _READERS[need.measure](self, need, facts)

    def _since(self, need: Need) -> int:
        return self._now - need.window_s * SECOND + 1

    def _profile_of(self, subject: Subject, facts: Facts) -> Profile | None:
        try:
            return self._profiles[subject]
        except KeyError:
            key = key_of_subject(subject, facts)
            profile = self._profiles[subject] = None if key is None else self.profiles.get(key)
            return profile

    def _series_of(self, subject: Subject, direction: Direction, facts: Facts) -> Series | None:
        known = self._sent if direction is Direction.SENT else self._received
        try:
            return known[subject]
        except KeyError:
            profile, currency = self._profile_of(subject, facts), facts.currency
            found = None if profile is None or currency is None else features.series(profile, direction, currency)
            known[subject] = found
            return found

    def _tally(self, need: Need, series: Series) -> Tally:
        tally = series.since(self._since(need))
        if need.exact and not tally.is_exact and tally.certain < need.events:
            self.has_estimated = True
        return tally

    def _sent_count(self, need: Need, facts: Facts) -> int | None:
        try:
            series = self._sent[need.subject]
        except KeyError:
            series = self._series_of(need.subject, _SENT, facts)
        if series is None:
            return None
        number = self._number(need, series)
        return number if need.subject not in _SENDS or self._is_refund else number + 1

    def _received_count(self, need: Need, facts: Facts) -> int | None:
        try:
            series = self._received[need.subject]
        except KeyError:
            series = self._series_of(need.subject, _RECEIVED, facts)
        if series is None:
            return None
        number = self._number(need, series)
        return number if need.subject not in _RECEIVES or self._is_refund else number + 1

    def _number(self, need: Need, series: Series) -> int:
        if not series.folded:  # the most frequent case does not need the slower steps below
            return series.number_since(self._now - need.window_s * SECOND + 1)
        return self._tally(need, series).count

    def _value(self, need: Need, direction: Direction, facts: Facts) -> int | None:
        series = self._series_of(need.subject, direction, facts)
        if series is None:
            return None
        tally = self._tally(need, series)
        return tally.value + facts.amount if self._will_count(need, direction) else tally.value

    def _distinct(self, need: Need, direction: Direction, facts: Facts) -> int | None:
        profile = self._profile_of(need.subject, facts)
        if profile is None or facts.currency is None:
            return None
        distinct = features.distinct(profile, direction, facts.currency, self._since(need))
        if need.exact and not distinct.is_exact and distinct.kept < need.events:
            self.has_estimated = True
        other = facts.payee if direction is Direction.SENT else facts.payer
        if other is None or not self._will_count(need, direction):
            return len(distinct.parties)
        return len(distinct.parties | {other})

    def _will_count(self, need: Need, direction: Direction) -> bool:
        return need.subject in (_SENDS if direction is Direction.SENT else _RECEIVES) and not self._is_refund

    def _age(self, need: Need, facts: Facts) -> int | None:
        profile = self._profile_of(need.subject, facts)
        return None if profile is None else _seconds(features.first_moment(profile), self._now)

    def _idle(self, need: Need, facts: Facts) -> int | None:
        profile = self._profile_of(need.subject, facts)
        return None if profile is None else _seconds(features.last_moment(profile), self._now)

    def _moved(self, need: Need, facts: Facts) -> bool | None:
        profile = self._profile_of(need.subject, facts)
        return None if profile is None else _has_moved(profile, facts, self._since(need))

    def _paid_before(self, need: Need, facts: Facts) -> bool | None:
        if facts.payer is None or facts.payee is None:
            return None
        return (facts.payer, facts.payee) in self.paid_before

    def _of_original(self, need: Need, facts: Facts) -> int | bool | None:
        if facts.refund_of is None:
            return None
        original = None if facts.original is None else self._originals.get(facts.original)
        if need.measure == "found":
            return original is not None
        if original is None:
            return None if need.measure == "since_original" else False
        match need.measure:
            case "parties_swapped":
                if None in (facts.payer, facts.payee, original.payer, original.payee):
                    return None
                return (facts.payer, facts.payee) == (original.payee, original.payer)
            case "since_original":
                return _seconds(microseconds(original.committed_at), self._now)
        profile = self._profile_of("original", facts)
        if profile is None or facts.currency is None:
            return None
        other_key = other_key_of_original(facts)
        profiles = (profile, None if other_key is None else self.profiles.get(other_key))
        refunded = sum(
            features.tally(each, Direction.SENT, original.currency, 0, refunds=True).value
            for each in profiles
            if each is not None
        )
        return facts.currency == original.currency and refunded + facts.amount <= original.amount


def _has_moved(profile: Profile, facts: Facts, since: int) -> bool | None:
    if facts.payee_dfsp is None:
        return None
    if profile.served_by and profile.served_by != dfsp_key(facts.payee_dfsp):
        return True
    return profile.moved_at >= since


def _seconds(since: int | None, now: int) -> int:
    return 0 if since is None else max(0, (now - since) // SECOND)


_READERS: Mapping[Measure, Callable[[ProfileCounters, Need, Facts], int | bool | None]] = {
    "sent_count": ProfileCounters._sent_count,
    "sent_value": lambda counters, need, facts: counters._value(need, _SENT, facts),
    "received_count": ProfileCounters._received_count,
    "received_value": lambda counters, need, facts: counters._value(need, _RECEIVED, facts),
    "distinct_payees": lambda counters, need, facts: counters._distinct(need, _SENT, facts),
    "distinct_payers": lambda counters, need, facts: counters._distinct(need, _RECEIVED, facts),
    "age": ProfileCounters._age,
    "idle": ProfileCounters._idle,
    "moved": ProfileCounters._moved,
    "paid_before": ProfileCounters._paid_before,
    "found": ProfileCounters._of_original,
    "parties_swapped": ProfileCounters._of_original,
    "within_original": ProfileCounters._of_original,
    "since_original": ProfileCounters._of_original,
}
