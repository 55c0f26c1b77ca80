"""Stores the person who stopped a replay."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("portal", "0012_alarms_read_the_history")]

    operations = [
        migrations.AddField(
            model_name="rulereplay",
            name="stopped_by",
            field=models.CharField(blank=True, db_default="", default="", max_length=320),
        ),
    ]
