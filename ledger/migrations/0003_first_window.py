"""Adds the hub as a participant, and opens the first settlement window."""

from django.conf import settings
from django.db import migrations


def begin(apps, schema_editor):
    apps.get_model("participants", "Participant").objects.get_or_create(
        is_hub=True, defaults={"name": settings.HUB_NAME}
    )
    windows = apps.get_model("ledger", "SettlementWindow").objects
    if not windows.filter(state="OPEN").exists():
        windows.create(state="OPEN")


class Migration(migrations.Migration):
    dependencies = [("ledger", "0002_one_currency_per_entry"), ("participants", "0001_initial")]
    operations = [migrations.RunPython(begin, migrations.RunPython.noop)]
