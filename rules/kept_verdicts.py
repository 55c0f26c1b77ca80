"""The facts and the verdict that the hub stores with a quote until the transfer arrives. Pure."""

from datetime import datetime, timedelta

import msgspec

from rules.decide import Verdict
from rules.facts import Facts
from rules.language.rule_types import Hold, Rule


class Kept(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The stored verdict about one payment of a quote.

    Stored verdicts are arrays, so developers add fields only at the end.
    """

    facts: Facts
    version: int
    hold_for_s: int | None = None
    """The duration of the hold, counted from the transfer's reservation."""
    hold_until: datetime | None = None
    """The time at which the hold of the transfer ends."""
    refusal: tuple[str, str] | None = None
    """The code and text with which the hub refuses the transfer.

    Only a payment of a bulk quote has a code and a text, because the hub refuses a single quote immediately.
    """
    transaction_id: str | None = None
    """The transaction id of a payment of a bulk quote. A single quote has a column for its transaction id."""

    def held_until(self, now: datetime) -> datetime | None:
        """Assumes that the transfer is reserved now, and returns the end of its hold. Returns None if the rules would
        not hold the transfer."""
        ends = [self.hold_until] if self.hold_until is not None else []
        if self.hold_for_s is not None:
            ends.append(now + timedelta(seconds=self.hold_for_s))
        return max(ends, default=None)


def kept(facts: Facts, verdict: Verdict, version: int, rules: tuple[Rule, ...]) -> Kept:
    """The hub stores a part of the verdict together with the quote. Returns this part."""
    by_id = {rule.id: rule for rule in rules}
    for_s: int | None = None
    until: datetime | None = None
    for hit in verdict.hits:
        if not hit.counts or hit.hold_for_s is None:
            continue
        action = by_id[hit.rule].action
        if isinstance(action, Hold) and action.until_minute is not None:
            end = facts.now + timedelta(seconds=hit.hold_for_s)
            until = end if until is None else max(until, end)
        else:
            for_s = max(for_s or 0, hit.hold_for_s)
    refusal = (verdict.code or "", verdict.text) if verdict.outcome == "REFUSE" else None
    return Kept(facts, version, for_s, until, refusal)


def may_hold(stored: bytes | None) -> bool:
    """Returns whether a stored verdict requires the hub to hold a payment of the quote."""
    if not stored:
        return False
    return any(each.hold_for_s is not None or each.hold_until is not None for each in from_bytes(stored).values())


def to_bytes(found: dict[str, Kept]) -> bytes:
    """Encodes the verdicts about the payments of one quote or bulk quote. The key of each verdict is the quote id of
    the payment."""
    return _ENCODER.encode(found)


def from_bytes(stored: bytes) -> dict[str, Kept]:
    """Decodes the verdicts about the payments of one quote or bulk quote. Raises msgspec.ValidationError if the bytes
    are invalid."""
    return _DECODER.decode(stored)


_ENCODER = msgspec.msgpack.Encoder(order="deterministic")
_DECODER = msgspec.msgpack.Decoder(dict[str, Kept])
