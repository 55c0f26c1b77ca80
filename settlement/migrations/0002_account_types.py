"""Adds the account types that every hub has, so that settlement models can refer to them."""

from django.db import migrations

TYPES = [
    ("POSITION", "A participant's position towards the scheme", True),
    ("SETTLEMENT", "What a participant holds at the settlement bank", False),
    ("HUB_RECONCILIATION", "The hub's side of funds in and out", False),
    ("HUB_MULTILATERAL_SETTLEMENT", "The hub's side of settlements", False),
    ("INTERCHANGE_FEE", "Interchange fees owed and due", True),
    ("INTERCHANGE_FEE_SETTLEMENT", "What interchange fees are settled into", False),
]


def begin(apps, schema_editor):
    types = apps.get_model("settlement", "LedgerAccountType").objects
    for name, description, is_settleable in TYPES:
        types.get_or_create(name=name, defaults={"description": description, "is_settleable": is_settleable})


class Migration(migrations.Migration):
    dependencies = [("settlement", "0001_settlement")]
    operations = [migrations.RunPython(begin, migrations.RunPython.noop)]
