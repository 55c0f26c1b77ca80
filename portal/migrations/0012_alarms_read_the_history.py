"""Alarms read the banks' usual success from the history of payments."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("portal", "0011_history")]

    operations = [migrations.DeleteModel(name="BankHour")]
