"""Makes the counts of limits exact. The gate at the transfer uses this module after the gate has locked the profiles.

A profile keeps only the latest payments separately, and adds earlier payments to buckets. After many aborts, a profile
keeps only few payments separately. If a limit's window then begins in the middle of a bucket, the profile cannot tell
how many of the bucket's payments are in the window. In this case, the module reads the latest payments from the table
of counted transfers, and the profile keeps these payments separately again.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from rules.facts import Facts
from rules.language.counter_types import Measure, Need
from rules.profiles import features, store
from rules.profiles.counted_payments import CountedPayment, Role, microseconds
from rules.profiles.events_and_buckets import KEPT, Direction, Event, Profile
from rules.profiles.features import SECOND
from rules.profiles.profiles_of_payment import key_of_subject
from rules.profiles.store import Latest, Unfolded

_JUDGED_WITHIN_S = 60
"""A group judges its payments at most this time after it has read the active rules. A lock waits for a shorter time."""
_SENT: frozenset[Measure] = frozenset({"sent_count", "sent_value", "distinct_payees"})
_OF_PARTIES: frozenset[Measure] = frozenset({"distinct_payees", "distinct_payers"})
_DIRECTIONS = {
    Role.PAYER: Direction.SENT,
    Role.PAYEE: Direction.RECEIVED,
    Role.ALIAS: Direction.RECEIVED,
    Role.PAYER_DFSP: Direction.SENT,
    Role.PAYEE_DFSP: Direction.RECEIVED,
    Role.PAIR: Direction.SENT,
}


def keep_again(
    locked: Mapping[int, Profile],
    judged: Iterable[Facts],
    needs: Collection[Need],
    *,
    now: datetime,
    ending: Iterable[CountedPayment],
    known: Collection[int],
) -> list[Unfolded]:
    """Changes those of the locked profiles that cannot give the exact counts for these payments.

    `now` is a moment shortly before the payments are judged. `ending` has the payments that the group can abort.
    `known` has the ids of the waiting rows that are already applied to the profiles. Applies further waiting rows, and
    returns these rows. If all profiles can give the exact counts, runs no SQL statement.
    """
    wanted = _wanted(locked, judged, needs, now, ending)
    if not wanted:
        return []
    payments, waiting = store.latest(wanted)
    new = [each for each in waiting if each.id not in known]
    for row in new:
        row.apply_to(locked[row.key])
    latest: dict[tuple[int, Role, str], list[Event]] = defaultdict(list)
    for key, role, payment in payments:
        latest[key, role, payment.currency].append(payment.event(role))
    for each in wanted:
        events = latest[each.key, each.role, each.currency]
        is_cut = len(events) >= each.most
        others_until = min(event.moment for event in events) if is_cut else microseconds(each.since) - 1
        locked[each.key].keep_again(_DIRECTIONS[each.role], each.currency, events, others_until=others_until)
    return new


def _wanted(
    locked: Mapping[int, Profile],
    judged: Iterable[Facts],
    needs: Collection[Need],
    now: datetime,
    ending: Iterable[CountedPayment],
) -> Sequence[Latest]:
    if not any(profile.buckets for profile in locked.values()):
        return ()
    removable = Counter(key for payment in ending for _, key in payment.keys.by_role())
    exact = [need for need in needs if need.exact and need.subject != "original"]
    wanted: dict[tuple[int, Role, str], Latest] = {}
    for facts in judged:
        for need in exact:
            key = key_of_subject(need.subject, facts)
            if key is None or facts.currency is None:
                continue
            profile, role = locked.get(key), _role(need, facts)
            if profile is None or _is_decided(profile, need, role, facts.currency, now, removable[key]):
                continue
            since = now - timedelta(seconds=need.window_s)
            before = wanted.get((key, role, facts.currency))
            wanted[key, role, facts.currency] = Latest(
                key=key,
                role=role,
                currency=facts.currency,
                since=since if before is None else min(since, before.since),
                most=KEPT + removable[key],
                payer=facts.payer,
                payee=facts.payee,
            )
    return list(wanted.values())


def _is_decided(profile: Profile, need: Need, role: Role, currency: str, now: datetime, removable: int) -> bool:
    """Returns whether the profile gives an exact count or shows that the limit is exceeded. The result is valid for
    `_JUDGED_WITHIN_S` seconds, even if the group aborts this number of `removable` payments."""
    if not profile.buckets:
        return True
    series = features.series(profile, _DIRECTIONS[role], currency)
    since = microseconds(now) - need.window_s * SECOND + 1
    if all(latest < since for _, latest, _, _ in series.folded):
        return True
    tally = series.since(since + _JUDGED_WITHIN_S * SECOND)
    certain = tally.kept if need.measure in _OF_PARTIES else tally.certain
    return certain - removable >= need.events


def _role(need: Need, facts: Facts) -> Role:
    """Returns the role that the subject of this counter has in the counted payments."""
    match need.subject:
        case "payer_dfsp":
            return Role.PAYER_DFSP
        case "payee_dfsp":
            return Role.PAYEE_DFSP
        case "pair":
            return Role.PAIR
        case "alias" if facts.payee_alias not in (None, facts.payee):
            return Role.ALIAS
    return Role.PAYER if need.measure in _SENT else Role.PAYEE
