"""Finds the payees that a payer has paid before. The ledger provides the function that reads committed payments.

A reserved payment does not count yet, for two reasons: a rule about new payees can hold the payment, and the hub can
still abort the payment.
"""

from collections.abc import Callable, Collection

Pair = tuple[int, int]
"""The keys of a payer and a payee."""
Read = Callable[[Collection[Pair]], set[Pair]]

_readers: list[Read] = []


def come_from(read: Read) -> None:
    """Sets the function that returns the pairs of payer and payee with a committed payment. The function runs one SQL
    statement."""
    _readers[:] = [read]


def of(pairs: Collection[Pair]) -> set[Pair]:
    """Returns those pairs of payer and payee that have a committed payment. Refunds do not count.

    Runs no SQL statement if there are no pairs.
    """
    return _readers[0](pairs) if pairs else set()
