"""Decides whether the hub holds a transfer before it sends the transfer to the payee. Pure."""

from datetime import datetime, timedelta

from fspiop.time import format_datetime
from ledger.commands_and_outcomes import Prepare
from ledger.held_transfers.hold_ends_in_time import Hold, ends_in_time
from ledger.snapshot import Snapshot
from rules.decide import Verdict
from rules.kept_verdicts import Kept
from rules.language.refusal_codes import NOT_ALLOWED, OUT_OF_TIME


def verdict_and_hold(p: Prepare, s: Snapshot) -> tuple[Verdict | None, Hold | None]:
    """Returns the verdict of the scheme's rules about a prepare. If the rules hold the transfer, also returns the end
    of this hold.

    A verdict about the transfer's quote also applies to the transfer. After the hold, the payee needs time for its
    answer. If the transfer or its terms would expire before the payee can answer, the hub refuses the transfer
    immediately. The refusal states the time until which the scheme delays the payment. If the rules would hold an item
    of a bulk, the hub refuses this item, because the payee answers all items in one message.
    """
    if s.gate is None:
        return None, None
    verdict = s.gate.judge(p.digest, s.now)
    if s.rules_version is None:
        return verdict, None
    kept = s.kept.get(p.digest)
    expires_at = min(p.expires_at, s.terms_expire_at.get(p.digest, p.expires_at))
    decided, until = with_hold(verdict, kept, now=s.now, expires_at=expires_at, is_in_bulk=p.bulk_id is not None)
    if decided is not verdict:
        s.gate.overrule(decided)
    return decided, None if until is None else Hold(until, s.rules_version, s.quote_ids.get(p.digest))


def with_hold(
    verdict: Verdict, kept: Kept | None, *, now: datetime, expires_at: datetime, is_in_bulk: bool
) -> tuple[Verdict, datetime | None]:
    """Combines the verdicts about a transfer and its quote. Returns the combined verdict, and the time at which the
    hold of the transfer ends.
    """
    if verdict.outcome == "REFUSE" or (kept is None and verdict.hold_for_s is None):
        return verdict, None
    if kept is not None and kept.refusal is not None:
        return _refused(verdict, *kept.refusal), None
    until = _held_until(verdict, kept, now)
    if until is None:
        return verdict, None
    if is_in_bulk:
        return _refused(verdict, NOT_ALLOWED, "The scheme delays this payment, so a bulk cannot contain it"), None
    if not ends_in_time(until, expires_at):
        return _refused(verdict, OUT_OF_TIME, f"The scheme delays this payment until {format_datetime(until)}"), None
    return verdict, until


def _held_until(verdict: Verdict, kept: Kept | None, now: datetime) -> datetime | None:
    ends = [now + timedelta(seconds=verdict.hold_for_s)] if verdict.hold_for_s is not None else []
    at_quote = kept.held_until(now) if kept is not None else None
    return max([*ends, at_quote] if at_quote is not None else ends, default=None)


def _refused(verdict: Verdict, code: str, text: str) -> Verdict:
    return Verdict(outcome="REFUSE", code=code, text=text, hits=verdict.hits)
