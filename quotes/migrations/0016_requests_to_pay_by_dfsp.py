"""Adds the indexes by which operators find the requests to pay of one DFSP."""

from django.db import migrations, models

from hub.concurrent_indexes import AddIndex


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("quotes", "0015_found_by_people")]

    operations = [
        AddIndex("transactionrequest", models.Index(fields=["payer", "created_at"], name="request_by_payer")),
        AddIndex("transactionrequest", models.Index(fields=["payee", "created_at"], name="request_by_payee")),
    ]
