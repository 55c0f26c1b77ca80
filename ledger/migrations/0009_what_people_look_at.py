from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("ledger", "0008_conversions_by_transfer"),
        ("participants", "0004_endpoints_version"),
    ]

    operations = [
        migrations.AddIndex(
            model_name="transfer",
            index=models.Index(fields=["payer", "received_at"], name="transfer_by_payer"),
        ),
        migrations.AddIndex(
            model_name="transfer",
            index=models.Index(fields=["payee", "received_at"], name="transfer_by_payee"),
        ),
        migrations.AddIndex(
            model_name="transfer",
            index=models.Index(
                condition=models.Q(("state", "ABORTED")), fields=["received_at"], name="transfer_aborted_by_arrival"
            ),
        ),
        migrations.AddIndex(
            model_name='fxtransfer',
            index=models.Index(fields=['received_at'], name='fx_transfer_by_arrival'),
        ),
        migrations.AddIndex(
            model_name='fxtransfer',
            index=models.Index(fields=['initiator', 'received_at'], name='fx_transfer_by_initiator'),
        ),
        migrations.AddIndex(
            model_name='fxtransfer',
            index=models.Index(fields=['fxp', 'received_at'], name='fx_transfer_by_fxp'),
        ),
    ]
