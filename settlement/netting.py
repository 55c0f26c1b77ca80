"""From what was posted to who owes what. Pure: no database, no clock."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Total:
    """What the commits of one window posted to one account."""

    account_id: int
    currency: str
    debits: int
    credits: int


@dataclass(frozen=True, slots=True)
class Obligation:
    """What an account owes the scheme for some windows (above 0), or is owed (below 0), or neither."""

    account_id: int
    currency: str
    net: int


def obligations(totals: Iterable[Total]) -> list[Obligation]:
    """Each account's net over all windows, by account. They come to zero in each currency, as every entry does."""
    nets: dict[tuple[int, str], int] = defaultdict(int)
    balance: dict[str, int] = defaultdict(int)
    for total in totals:
        nets[total.account_id, total.currency] += total.debits - total.credits
        balance[total.currency] += total.debits - total.credits
    assert not any(balance.values()), f"what is to be settled does not come to zero: {dict(balance)}"
    return [Obligation(account_id, currency, net) for (account_id, currency), net in sorted(nets.items())]
