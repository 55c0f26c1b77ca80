"""Changes the snapshot's accounts: hold, release, post.

Pure. Only this module and the database check limits.
"""

from collections.abc import Sequence

from ledger.commands_and_outcomes import Refusal
from ledger.limits import Bound, passed
from ledger.snapshot import AccountState, Posting, Snapshot

HOLD_IS_REFUSED_BY: Sequence[Refusal] = (Refusal.LIQUIDITY, Refusal.NDC)
"""The refusals, in the order in which `hold` checks for them."""


def hold(account: AccountState, amount: int) -> Refusal | None:
    """Reserves the amount on the account, or returns the refusal for the limit that the amount would exceed."""
    above = passed(account.position + account.reserved + amount, account.ndc or 0, account.cover)
    if above:
        return Refusal.LIQUIDITY if Bound.COVER in above else Refusal.NDC
    # After this line the reservation succeeds.
    account.reserved += amount
    account.new_reserved += amount
    account.has_new_reservations = True
    return None


def release(account: AccountState, amount: int) -> None:
    """Releases a reserved amount."""
    account.reserved -= amount
    account.new_reserved -= amount


def post(s: Snapshot, posting: Posting) -> None:
    """Posts the amount from the debited account to the credited account, and records the entry."""
    debit, credit = s.accounts[posting.debit_account_id], s.accounts[posting.credit_account_id]
    debit.position += posting.amount
    debit.new_debits += posting.amount
    credit.position -= posting.amount
    credit.new_credits += posting.amount
    s.postings.append(posting)
