"""Changes the snapshot's accounts: reserves, releases and posts amounts.

Pure. Only this module and the database check whether a position exceeds its limit.
"""

from collections.abc import Sequence

from ledger.commands_and_outcomes import Refusal
from ledger.position_limit import Bound, passed
from ledger.snapshot import AccountState, Posting, Snapshot

HOLD_IS_REFUSED_BY: Sequence[Refusal] = (Refusal.LIQUIDITY, Refusal.NDC)
"""The reasons for which `hold` can refuse a reservation. `hold` checks the reasons in this order."""


def hold(account: AccountState, amount: int) -> Refusal | None:
    """Reserves the amount on the account. If the account's position would then exceed a limit, reserves nothing and
    returns the refusal."""
    above = passed(account.position + account.reserved + amount, account.ndc or 0, account.cover)
    if above:
        return Refusal.LIQUIDITY if Bound.COVER in above else Refusal.NDC
    # Here the amount is within both limits.
    account.reserved += amount
    account.new_reserved += amount
    account.has_new_reservations = True
    return None


def release(account: AccountState, amount: int) -> None:
    """Releases a reserved amount."""
    account.reserved -= amount
    account.new_reserved -= amount


def post(s: Snapshot, posting: Posting) -> None:
    """Moves the amount from the debit account to the credit account, and records the entry."""
    debit, credit = s.accounts[posting.debit_account_id], s.accounts[posting.credit_account_id]
    debit.position += posting.amount
    debit.new_debits += posting.amount
    credit.position -= posting.amount
    credit.new_credits += posting.amount
    s.postings.append(posting)
