"""The counters of rules, read from profiles: implements `rules.language.counter_needs.Counters`."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from rules.facts import Facts
from rules.language.counter_needs import Need
from rules.party_keys import dfsp_key
from rules.profiles import features
from rules.profiles.counted_payments import microseconds
from rules.profiles.features import SECOND, Tally
from rules.profiles.ring import Direction, Profile
from rules.profiles.subjects import is_refund, key_of_subject

_SENDS = frozenset({"payer", "pair", "payer_dfsp"})
_RECEIVES = frozenset({"payee", "alias", "payee_dfsp"})


@dataclass(frozen=True, slots=True)
class Original:
    """A committed transaction that a refund gives back."""

    currency: str
    amount: int
    payer: int | None
    payee: int | None
    committed_at: datetime


class ProfileCounters:
    """Reads counters from the profiles that were loaded for a group of payments.

    A window ends now and begins `window_s` earlier: a payment from exactly then is no longer part of it. If a counter
    need not be exact, payments of the hour or day in which the window begins may be counted too.
    """

    def __init__(
        self,
        profiles: Mapping[int, Profile],
        paid_before: set[tuple[int, int]],
        originals: Mapping[str, Original],
    ) -> None:
        self.profiles, self.paid_before, self._originals = profiles, paid_before, originals
        self._facts: Facts | None = None
        self._now = 0
        self._tallies: dict[tuple[str, Direction, int], Tally] = {}  # of the payment that is judged now

    def get(self, need: Need, facts: Facts) -> int | bool | None:
        """Returns the measure, or None if it is not known."""
        if facts is not self._facts:
            self._facts, self._now, self._tallies = facts, microseconds(facts.now), {}
        match need.measure:
            case "paid_before":
                if facts.payer is None or facts.payee is None:
                    return None
                return (facts.payer, facts.payee) in self.paid_before
            case "found" | "parties_swapped" | "within_original" | "since_original":
                return self._of_original(need, facts)
        key = key_of_subject(need.subject, facts)
        profile = None if key is None else self.profiles.get(key)
        if profile is None:
            return None
        now = self._now
        since = now - need.window_s * SECOND + 1
        match need.measure:
            case "sent_count" | "sent_value":
                return self._tally(need, facts, profile, Direction.SENT, since)
            case "received_count" | "received_value":
                return self._tally(need, facts, profile, Direction.RECEIVED, since)
            case "distinct_payees":
                return self._distinct(need, facts, profile, Direction.SENT, since)
            case "distinct_payers":
                return self._distinct(need, facts, profile, Direction.RECEIVED, since)
            case "age":
                return _seconds(features.first_moment(profile), now)
            case "idle":
                return _seconds(features.last_moment(profile), now)
            case "moved":
                return _has_moved(profile, facts, since)
        raise AssertionError(need.measure)

    def _tally(self, need: Need, facts: Facts, profile: Profile, direction: Direction, since: int) -> int | None:
        if facts.currency is None:
            return None
        name = (need.subject, direction, need.window_s)
        tally = self._tallies.get(name)
        if tally is None:
            tally = self._tallies[name] = features.tally(profile, direction, facts.currency, since)
        if need.exact and not tally.is_exact and tally.kept < need.events:
            return None
        is_counted = _will_count(need, facts, direction)
        if need.measure in ("sent_count", "received_count"):
            return tally.count + is_counted
        return tally.value + (facts.amount if is_counted else 0)

    def _distinct(self, need: Need, facts: Facts, profile: Profile, direction: Direction, since: int) -> int | None:
        if facts.currency is None:
            return None
        distinct = features.distinct(profile, direction, facts.currency, since)
        if need.exact and not distinct.is_exact and distinct.kept < need.events:
            return None
        if not _will_count(need, facts, direction):
            return len(distinct.parties)
        other = facts.payee if direction is Direction.SENT else facts.payer
        return len(distinct.parties | {other} if other else distinct.parties)

    def _of_original(self, need: Need, facts: Facts) -> int | bool | None:
        if facts.refund_of is None:
            return None
        original = self._originals.get(facts.refund_of)
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
                return _seconds(microseconds(original.committed_at), microseconds(facts.now))
        key = key_of_subject("original", facts)
        profile = None if key is None else self.profiles.get(key)
        if profile is None or facts.currency is None:
            return None
        refunded = features.tally(profile, Direction.SENT, original.currency, 0, refunds=True).value
        return facts.currency == original.currency and refunded + facts.amount <= original.amount


def _will_count(need: Need, facts: Facts, direction: Direction) -> bool:
    counting = _SENDS if direction is Direction.SENT else _RECEIVES
    return need.subject in counting and not is_refund(facts)


def _has_moved(profile: Profile, facts: Facts, since: int) -> bool | None:
    if facts.payee_dfsp is None:
        return None
    if profile.served_by and profile.served_by != dfsp_key(facts.payee_dfsp):
        return True
    return profile.moved_at >= since


def _seconds(since: int | None, now: int) -> int:
    return 0 if since is None else max(0, (now - since) // SECOND)
