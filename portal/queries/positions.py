"""Reads each participant's position, reserved amount, cap and cover.

Runs one SQL statement for any number of participants.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from hub.participants.models import Participant
from ledger import limit_alarms, position_limit, queries
from ledger.models import Account

_TYPES = (Account.Type.POSITION, Account.Type.SETTLEMENT)


@dataclass(frozen=True, slots=True)
class Standing:
    """A participant's figures in one currency, in ten-thousandths. A position above 0 is money that the participant
    owes.
    """

    participant: Participant
    currency: str
    position_account: Account
    settlement_account: Account | None

    @property
    def used(self) -> int:
        """The participant's position, including reserved amounts."""
        return queries.value_of(self.position_account)

    @property
    def reserved(self) -> int:
        return int(self.position_account.pending_debits)

    @property
    def cap(self) -> int | None:
        return self.position_account.net_debit_cap

    @property
    def cover(self) -> int:
        """The participant's money at the settlement bank, minus the amounts that the participant owes for
        settlements."""
        return queries.cover_of(self.settlement_account) if self.settlement_account else 0

    @property
    def on_hold(self) -> int:
        return int(self.settlement_account.on_hold) if self.settlement_account else 0

    @property
    def limit(self) -> int:
        """The highest value that the position may have."""
        return position_limit.limit_of(self.cap or 0, self.cover)

    @property
    def free(self) -> int:
        return max(0, self.limit - self.used)

    @property
    def used_percent(self) -> int:
        return min(100, limit_alarms.percent_of(self.used, self.limit))

    @property
    def is_near_limit(self) -> bool:
        return self.is_active and limit_alarms.is_due(self.used, self.limit, self.position_account.alarm_percentage)

    @property
    def is_active(self) -> bool:
        return self.participant.is_active and self.position_account.is_active


def standings(participant: Participant | None = None) -> list[Standing]:
    """Returns the figures of one participant or of all participants, by name and currency."""
    accounts = Account.objects.filter(type__in=_TYPES, participant__is_hub=False).select_related("participant")
    if participant is not None:
        accounts = accounts.filter(participant=participant)
    return _paired(accounts.order_by("participant__name", "currency", "type"))


def _paired(accounts: Iterable[Account]) -> list[Standing]:
    found: dict[tuple[int, str], dict[str, Account]] = {}
    for account in accounts:
        found.setdefault((account.participant_id, account.currency), {})[account.type] = account
    return [
        Standing(
            pair[Account.Type.POSITION].participant,
            currency,
            pair[Account.Type.POSITION],
            pair.get(Account.Type.SETTLEMENT),
        )
        for (_, currency), pair in found.items()
        if Account.Type.POSITION in pair
    ]
