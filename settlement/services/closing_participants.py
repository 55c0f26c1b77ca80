"""Closes a participant permanently, step by step. Each step is possible only after the previous step is complete.

The database itself checks the conditions of the last steps. An account can be closed only if the account is empty and
has no unsettled window. A participant can be closed only if all accounts of the participant are closed and no amount is
reserved.
"""

from dataclasses import dataclass

from django.db import transaction

from fspiop.errors import ErrorCode, FspiopError
from hub.participants import offboarding
from hub.participants.models import Credential, Participant
from hub.test_currency import TEST_CURRENCY
from ledger import accounts_and_funds
from ledger import queries as ledger
from ledger.models import Account
from settlement import queries
from settlement.states import WindowState


@dataclass(frozen=True, slots=True)
class Left:
    """For each currency, the amount in ten-thousandths that a participant still has in the scheme."""

    reserved: int
    positions: list[tuple[str, int]]
    windows: list[int]
    funds: list[tuple[str, int]]
    credentials: int

    @property
    def is_settled(self) -> bool:
        return not (self.reserved or self.positions or self.windows)


def left_of(participant: Participant) -> Left:
    positions: list[tuple[str, int]] = []
    funds: list[tuple[str, int]] = []
    for account in ledger.accounts_of(participant):
        value = ledger.value_of(account)
        if value and account.currency != TEST_CURRENCY:
            is_of_settlement = account.type in (Account.Type.SETTLEMENT, Account.Type.INTERCHANGE_FEE_SETTLEMENT)
            (funds if is_of_settlement else positions).append((account.currency, -value if is_of_settlement else value))
    windows = queries.windows(participant_id=participant.pk).exclude(state=WindowState.SETTLED)
    return Left(
        reserved=accounts_and_funds.reserved_for(participant),
        positions=positions,
        windows=list(windows.values_list("pk", flat=True)),
        funds=funds,
        credentials=Credential.objects.filter(participant=participant, revoked_at__isnull=True).count(),
    )


@transaction.atomic
def revoke_all(participant: Participant, *, actor: str) -> None:
    """Revokes all credentials of a participant. Raises an error if the participant still needs the credentials."""
    _check_drained(participant)
    left = left_of(participant)
    if not left.is_settled or left.funds:
        raise FspiopError(ErrorCode.CLIENT_ERROR, f"{participant.name} still has unsettled amounts or funds")
    offboarding.revoke_all(participant, actor=actor)


@transaction.atomic
def close(participant: Participant, *, actor: str) -> None:
    """Closes a participant and its accounts permanently.

    The hub does not delete the closed participant's entries, transfers and audit trail.
    """
    _check_drained(participant)
    accounts_and_funds.close_accounts(participant, actor=actor)
    left = left_of(participant)  # this function reads the amounts after the accounts are locked
    if left.windows:
        raise FspiopError(ErrorCode.CLIENT_ERROR, f"unsettled windows: {left.windows}")
    if left.credentials:
        raise FspiopError(ErrorCode.CLIENT_ERROR, "some of its certificates, keys or clients are not revoked")
    offboarding.mark_closed(participant, actor=actor)


def _check_drained(participant: Participant) -> None:
    if participant.leaving_since is None:
        raise FspiopError(ErrorCode.CLIENT_ERROR, f"{participant.name} is not leaving")
