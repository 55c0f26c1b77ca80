"""Adds a table with the parties of each payment of a bulk quote, for the portal's search for payments."""

import django.db.models.deletion
from django.db import migrations, models
from django.db.models import F


class Migration(migrations.Migration):
    dependencies = [("quotes", "0016_requests_to_pay_by_dfsp")]

    operations = [
        migrations.CreateModel(
            name="BulkQuoteItem",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("place", models.PositiveSmallIntegerField()),
                ("quote_id", models.CharField(max_length=36)),
                ("transaction_id", models.CharField(max_length=36)),
                ("payer_alias", models.CharField(max_length=128)),
                ("payee_alias", models.CharField(max_length=128)),
                ("amount", models.BigIntegerField(null=True)),
                ("currency", models.CharField(max_length=3)),
                ("created_at", models.DateTimeField()),
                (
                    "bulk_quote",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="items",
                        to="quotes.bulkquote",
                    ),
                ),
            ],
            options={
                "ordering": ["id"],
                "indexes": [
                    models.Index(fields=["created_at"], name="bulk_item_by_arrival"),
                    models.Index(F("payer_alias"), F("created_at").desc(), name="bulk_item_of_payers_alias"),
                    models.Index(F("payee_alias"), F("created_at").desc(), name="bulk_item_of_payees_alias"),
                    models.Index(fields=["transaction_id"], name="bulk_item_by_transaction"),
                    models.Index(fields=["quote_id"], name="bulk_item_by_quote"),
                ],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("bulk_quote", "place"), name="one_payment_at_each_place_of_a_bulk_quote"
                    )
                ],
            },
        ),
    ]
