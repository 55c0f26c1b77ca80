"""The data of a counted payment, and the events that profiles store about the payment. Pure."""

import hashlib
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from enum import IntEnum
from functools import lru_cache

import msgspec

from rules.profiles.events_and_buckets import Direction, Event, Profile

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class Role(IntEnum):
    """The role of a profile's subject in a payment. The database stores a role as its number."""

    PAYER = 0
    PAYEE = 1
    ALIAS = 2
    PAYER_DFSP = 3
    PAYEE_DFSP = 4
    PAIR = 5
    ORIGINAL = 6


_ROLES = tuple(Role)
COLUMNS: dict[Role, str] = {role: f"{role.name.lower()}_key" for role in Role}
"""The columns of CountedTransfer that contain the keys."""

_RECEIVES = frozenset({Role.PAYEE, Role.ALIAS, Role.PAYEE_DFSP})
_SENT, _RECEIVED = int(Direction.SENT), int(Direction.RECEIVED)
_IS_SERVED = frozenset({Role.PAYEE, Role.ALIAS})  # the customers of a participant have these roles
NOT_CONFIRMED = 0
"""The stored value for a payment without a quote. In a payment without a quote, only the payer DFSP names the payee's
DFSP. So the name does not show that the payee has moved to another DFSP."""

BY_ROLE = "VALUES " + ", ".join(f"({role:d}, c.{COLUMNS[role]}, {str(role in _RECEIVES).lower()})" for role in Role)
"""SQL that returns the roles of a row `c` of CountedTransfer, with their keys, and whether the subject receives the
payment.
"""


class Keys(msgspec.Struct, frozen=True, gc=False):
    """The keys of the profiles that count a payment. If the profile of a role does not count the payment, the key for
    the role is None."""

    payer: int | None = None
    payee: int | None = None
    alias: int | None = None
    payer_dfsp: int | None = None
    payee_dfsp: int | None = None
    pair: int | None = None
    original: int | None = None

    def by_role(self) -> Iterator[tuple[Role, int]]:
        """Yields the role and the key of each profile."""
        for role, key in zip(_ROLES, self.in_order(), strict=True):
            if key is not None:
                yield role, key

    def in_order(self) -> tuple[int | None, ...]:
        """Returns the keys in the order of the roles."""
        return (
            self.payer,
            self.payee,
            self.alias,
            self.payer_dfsp,
            self.payee_dfsp,
            self.pair,
            self.original,
        )


class CountedPayment(msgspec.Struct, frozen=True, gc=False):
    """One transfer, and the keys of the profiles that count the transfer."""

    transfer_id: str
    keys: Keys
    served_by: int  # the key of the payee DFSP, or NOT_CONFIRMED
    is_refund: bool
    currency: str
    amount: int
    reserved_at: datetime
    transaction_id: str | None = None

    def event(self, role: Role) -> Event:
        """Returns the event that the profile of this role counts."""
        return self._event(role, microseconds(self.reserved_at), reference(self.transfer_id))

    def _event(self, role: Role, moment: int, ref: int) -> Event:
        if role in _RECEIVES:
            direction, counterparty = _RECEIVED, self.keys.payer
        else:
            direction, counterparty = _SENT, self.keys.payee
        return Event(moment, ref, direction, self.is_refund, self.currency, self.amount, counterparty or 0)

    def add_to(self, profile: Profile, role: Role) -> None:
        """Counts the payment in `profile`. The profile's subject has this role in the payment."""
        self._add(profile, role, self.event(role))

    def _add(self, profile: Profile, role: Role, event: Event) -> None:
        profile.add(event)
        if role in _IS_SERVED and not self.is_refund and self.served_by != NOT_CONFIRMED:
            profile.note_dfsp(self.served_by, event.moment)

    def count_in(self, profiles: Mapping[int, Profile]) -> int:
        """Counts the payment in each profile in `profiles` that counts this payment. Returns the number of profiles in
        which this function has counted the payment."""
        moment, ref, counted = microseconds(self.reserved_at), reference(self.transfer_id), 0
        for role, key in zip(_ROLES, self.keys.in_order(), strict=True):
            if key is None:
                continue
            profile = profiles.get(key)
            if profile is not None:
                self._add(profile, role, self._event(role, moment, ref))
                counted += 1
        return counted

    def remove_from(self, profile: Profile, role: Role) -> bool:
        """Removes the payment from the profile's counts. Returns False if the profile cannot contain the payment."""
        return profile.remove(self.event(role))


def microseconds(moment: datetime) -> int:
    """Returns the microseconds from the beginning of 1970 to this moment."""
    return (moment - _EPOCH) // _MICROSECOND


@lru_cache(maxsize=256)  # each profile of a payment needs the number of the same transfer
def reference(transfer_id: str) -> int:
    """Returns the number that identifies a transfer in a profile."""
    return int.from_bytes(hashlib.blake2b(transfer_id.encode(), digest_size=8).digest(), "big") >> 1
