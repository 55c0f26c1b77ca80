"""Compares the lines of a bank statement with the payments that a settlement expects. The functions of this module do
not use a database or a clock."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from settlement.bank_statements.parsing import Direction, Line


class Finding(StrEnum):
    """The result of comparing one line of a bank statement with the expected payments."""

    MATCHED = "MATCHED"
    UNKNOWN_REFERENCE = "UNKNOWN_REFERENCE"
    OTHER_PARTICIPANT = "OTHER_PARTICIPANT"
    OTHER_CURRENCY = "OTHER_CURRENCY"
    OTHER_DIRECTION = "OTHER_DIRECTION"
    OTHER_AMOUNT = "OTHER_AMOUNT"
    TWICE = "TWICE"


@dataclass(frozen=True, slots=True)
class Expected:
    """The payment that a settlement expects for one account.

    If an account's amount is above 0, the account pays the amount through the bank. If the amount is below 0, the
    account receives the amount.
    """

    account_id: int
    reference: str
    participant: str
    currency: str
    net: int

    @property
    def direction(self) -> Direction:
        return Direction.DEBIT if self.net > 0 else Direction.CREDIT


@dataclass(frozen=True, slots=True)
class Matched:
    line: Line
    finding: Finding
    account_id: int | None


def match(lines: Sequence[Line], expected: Iterable[Expected]) -> list[Matched]:
    """For each line of the bank statement, returns the result of the comparison. The results have the order of the
    lines."""
    by_reference = {bare(account.reference): account for account in expected if account.net}
    seen: set[str] = set()
    found = []
    for line in lines:
        reference = bare(line.reference)
        account = by_reference.get(reference)
        finding = Finding.TWICE if reference in seen else _finding(line, account)
        found.append(Matched(line, finding, account.account_id if account else None))
        if account is not None:
            seen.add(reference)
    return found


def _finding(line: Line, account: Expected | None) -> Finding:
    if account is None:
        return Finding.UNKNOWN_REFERENCE
    if line.participant and line.participant != account.participant:
        return Finding.OTHER_PARTICIPANT
    if line.currency != account.currency:
        return Finding.OTHER_CURRENCY
    if line.direction != account.direction:
        return Finding.OTHER_DIRECTION
    if line.amount != abs(account.net):
        return Finding.OTHER_AMOUNT
    return Finding.MATCHED


def is_exact(matched: Sequence[Matched], expected: Iterable[Expected]) -> bool:
    """Returns whether the bank statement has exactly one line for each account that pays or receives, and no further
    lines.

    If the result is True, all totals of the bank statement agree with the settlement.
    """
    due = {account.account_id for account in expected if account.net}
    return all(each.finding == Finding.MATCHED for each in matched) and {each.account_id for each in matched} == due


def bare(reference: str) -> str:
    """Returns a payment's reference without hyphens. The bank's files contain this form, because ISO 20022 allows only
    35 characters."""
    return reference.replace("-", "").lower()
