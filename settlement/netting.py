"""Computes the obligation of each account from the account's postings. The functions of this module do not use a
database or a clock."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Total:
    """The total debits and the total credits on one account from the commits of one window."""

    account_id: int
    currency: str
    debits: int
    credits: int


@dataclass(frozen=True, slots=True)
class Obligation:
    """An account's net amount for some windows. If the amount is above 0, the account owes the scheme.

    If the amount is below 0, the scheme owes the account.
    """

    account_id: int
    currency: str
    net: int


def obligations(totals: Iterable[Total]) -> list[Obligation]:
    """Returns the net amount of each account over all windows, in the order of accounts.

    In each currency, the net amounts add up to zero, because each entry has a debit and an equal credit.
    """
    nets: dict[tuple[int, str], int] = defaultdict(int)
    balance: dict[str, int] = defaultdict(int)
    for total in totals:
        nets[total.account_id, total.currency] += total.debits - total.credits
        balance[total.currency] += total.debits - total.credits
    assert not any(balance.values()), f"the net amounts do not add up to zero: {dict(balance)}"
    return [Obligation(account_id, currency, net) for (account_id, currency), net in sorted(nets.items())]
