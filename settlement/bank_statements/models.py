"""The tables of the settlement bank's statements.

The bank's statements are evidence, so the database does not allow changes of these rows.
"""

import pgtrigger
from django.db import models
from django.db.models.functions import Now

from settlement.bank_statements.matching import Finding
from settlement.bank_statements.parsing import Direction


class Statement(models.Model):
    """A bank statement: the settlement bank's file for one settlement.

    `is_exact` is True if the file has exactly one line for each account that pays or receives, and no further lines.
    """

    settlement = models.ForeignKey("settlement.Settlement", on_delete=models.PROTECT, related_name="statements")
    name = models.CharField(max_length=128)
    body = models.BinaryField()
    sha256 = models.CharField(max_length=64)
    is_exact = models.BooleanField()
    actor = models.CharField(max_length=150)
    at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ["id"]
        triggers = [
            pgtrigger.Protect(name="statements_are_only_ever_added", operation=pgtrigger.Update | pgtrigger.Delete)
        ]

    def __str__(self) -> str:
        return f"statement {self.pk} of settlement {self.settlement_id}"


class StatementLine(models.Model):
    """A line of a bank statement, and the result of the line's comparison with the expected payments.

    `account` is the settlement account in the line's reference.
    """

    statement = models.ForeignKey(Statement, on_delete=models.PROTECT, related_name="lines", db_index=False)
    number = models.PositiveIntegerField()
    reference = models.CharField(max_length=140)
    participant = models.CharField(max_length=140)
    currency = models.CharField(max_length=3)
    amount = models.BigIntegerField()
    direction = models.CharField(max_length=6, choices=[(each.value, each.value) for each in Direction])
    bank_reference = models.CharField(max_length=140)
    finding = models.CharField(max_length=20, choices=[(each.value, each.value) for each in Finding])
    account = models.ForeignKey(
        "settlement.SettlementAccount", on_delete=models.PROTECT, related_name="+", null=True, db_index=False
    )

    class Meta:
        ordering = ["statement_id", "number"]
        constraints = [
            models.UniqueConstraint(fields=["statement", "number"], name="a_line_of_a_statement_is_kept_once"),
        ]
        triggers = [pgtrigger.Protect(name="lines_are_only_ever_added", operation=pgtrigger.Update | pgtrigger.Delete)]

    def __str__(self) -> str:
        return f"{self.statement_id}:{self.number} {self.finding}"
