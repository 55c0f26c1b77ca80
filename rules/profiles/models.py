"""The tables of profiles. The tables contain only the keys of subjects, as hashes from `rules.party_keys`."""

from decimal import Decimal

import pgtrigger
from django.db import models
from django.db.models import Q


class Profile(models.Model):
    """The payments of one subject: a party, a participant, a pair of payer and payee, or an original payment with the
    refunds of this payment.

    A database transaction must lock a row before it changes the row. The columns after `ring` repeat the totals in
    `ring`. So one SQL statement can check whether the totals match the transfers. Each storage page of the table has
    free space, and the key is the only indexed column. An update of a profile therefore changes no index.
    """

    key = models.BigIntegerField(primary_key=True)
    # `rules.profiles.events_and_buckets` reads and writes the content of `ring`. Without payments, `ring` is empty.
    ring = models.BinaryField(default=b"", db_default=b"")
    counted = models.BigIntegerField(default=0, db_default=0)
    sent = models.DecimalField(max_digits=38, decimal_places=0, default=Decimal(0), db_default=Decimal(0))
    received = models.DecimalField(max_digits=38, decimal_places=0, default=Decimal(0), db_default=Decimal(0))

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(counted__gte=0, sent__gte=0, received__gte=0), name="a_profile_counts_no_less_than_nothing"
            )
        ]
        triggers = [pgtrigger.Protect(name="a_profile_is_never_deleted", operation=pgtrigger.Delete)]

    def __str__(self) -> str:
        return str(self.key)


class CountedTransfer(models.Model):
    """A transfer, which the hub counted at the time of the reservation, and the keys of the profiles that count the
    transfer.

    The hub inserts the row and the transfer in one database transaction. The row changes only if the transfer is
    aborted.
    """

    transfer_id = models.CharField(max_length=36, primary_key=True)
    payer_key = models.BigIntegerField(null=True)
    payee_key = models.BigIntegerField(null=True)
    alias_key = models.BigIntegerField(null=True)  # set only if the payee's identifier has a sub-id
    payer_dfsp_key = models.BigIntegerField(null=True)  # this key and the next two: set only if a rule needed the key
    payee_dfsp_key = models.BigIntegerField(null=True)
    pair_key = models.BigIntegerField(null=True)
    original_key = models.BigIntegerField(null=True)  # for a refund, the key of the original
    served_by = models.BigIntegerField()  # the key of the payee DFSP; 0 if no quote confirmed this DFSP
    is_refund = models.BooleanField()
    currency = models.CharField(max_length=3)
    amount = models.BigIntegerField()
    reserved_at = models.DateTimeField()
    transaction_id = models.CharField(max_length=36, null=True)  # null if equal to the transfer's id
    ended = models.BooleanField(default=False)  # true if the transfer was aborted and no longer counts

    class Meta:
        indexes = [
            # This index shows whether this payer has paid this payee before. This index and the next three also find
            # the latest payments of a profile (`rules.profiles.exact_counts`).
            models.Index(
                fields=["payer_key", "payee_key", "reserved_at"],
                condition=Q(payer_key__isnull=False),
                name="counted_by_payer",
            ),
            # The second condition is always true. Because of it, PostgreSQL never searches a pair among all payments of
            # the payee: a search for a pair has no condition on the time.
            models.Index(
                fields=["payee_key", "reserved_at"],
                condition=Q(payee_key__isnull=False, reserved_at__isnull=False),
                name="counted_by_payee",
            ),
            models.Index(
                fields=["payer_dfsp_key", "reserved_at"],
                condition=Q(payer_dfsp_key__isnull=False),
                name="counted_by_payer_dfsp",
            ),
            models.Index(
                fields=["payee_dfsp_key", "reserved_at"],
                condition=Q(payee_dfsp_key__isnull=False),
                name="counted_by_payee_dfsp",
            ),
            models.Index(
                fields=["transaction_id"], condition=Q(transaction_id__isnull=False), name="counted_by_transaction"
            ),
        ]
        triggers = [
            pgtrigger.Protect(
                name="a_counted_transfer_only_ends",
                operation=pgtrigger.Update,
                condition=pgtrigger.Condition("OLD.ended OR to_jsonb(NEW) - 'ended' <> to_jsonb(OLD) - 'ended'"),
            ),
            pgtrigger.Protect(name="a_counted_transfer_is_never_deleted", operation=pgtrigger.Delete),
        ]

    def __str__(self) -> str:
        return self.transfer_id


class UnfoldedCount(models.Model):
    """A payment that must still be added to a profile, or removed from a profile.

    If a database transaction does not need an exact count, the transaction adds a row to this table, and does not lock
    the profile. A later database transaction locks and changes the profile, and deletes the row.
    """

    key = models.BigIntegerField()
    role = models.PositiveSmallIntegerField()  # rules.profiles.counted_payments.Role
    transfer_id = models.CharField(max_length=36)
    is_removal = models.BooleanField()

    class Meta:
        indexes = [models.Index(fields=["key"], name="unfolded_count_by_profile")]

    def __str__(self) -> str:
        return f"{'-' if self.is_removal else '+'}{self.transfer_id}"
