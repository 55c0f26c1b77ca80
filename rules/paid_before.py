"""Finds the payees that a payer has paid before. The ledger provides the function that reads committed payments.

A reserved payment does not count yet, for two reasons: a rule about new payees can hold the payment, and the hub can
still abort the payment.
"""

from collections.abc import Callable, Collection
from functools import cached_property

Pair = tuple[int, int]
"""The keys of a payer and a payee."""
Read = Callable[[Collection[Pair]], set[Pair]]

_readers: list[Read] = []


def come_from(read: Read) -> None:
    """Sets the function that returns the pairs of payer and payee with a committed payment. The function runs one SQL
    statement."""
    _readers[:] = [read]


class PaidBefore:
    """Those pairs of a group's payments that have a committed payment. Refunds do not count.

    The first question reads all pairs of the group by one SQL statement. Most groups run no SQL statement, because
    rules ask for a pair only if all their cheaper conditions are true.
    """

    def __init__(self, pairs: Collection[Pair]) -> None:
        self._pairs = pairs

    def __contains__(self, pair: object) -> bool:
        return pair in self._found

    @cached_property
    def _found(self) -> set[Pair]:
        return _readers[0](self._pairs) if self._pairs else set()
