"""Test money is never converted, and does not keep an account open.

The constraints are added without a check of the present rows: a large table would be locked meanwhile.
"""

from django.contrib.postgres.operations import AddConstraintNotValid
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("ledger", "0022_postings_by_account")]

    operations = [
        AddConstraintNotValid(
            model_name="fxtransfer",
            constraint=models.CheckConstraint(
                condition=~models.Q(source_currency="XTS") & ~models.Q(target_currency="XTS"),
                name="test_money_is_never_converted",
            ),
        ),
        migrations.RemoveConstraint(model_name="account", name="a_closed_account_is_empty"),
        migrations.AddConstraint(
            model_name="account",
            constraint=models.CheckConstraint(
                condition=models.Q(closed_at__isnull=True)
                | models.Q(is_active=False, pending_debits=0, posted_debits=models.F("posted_credits"))
                | models.Q(is_active=False, pending_debits=0, currency="XTS"),
                name="a_closed_account_is_empty",
            ),
        ),
    ]
