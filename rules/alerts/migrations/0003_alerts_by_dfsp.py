"""Stores for each alert the DFSP that caused it, so that one DFSP's alerts do not hide the alerts of others.

Alerts from before the migration have no such DFSP.
"""

from django.db import migrations, models

from hub.concurrent_indexes import AddIndex, RemoveIndex


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("rules_alerts", "0002_alerts_by_closing")]

    operations = [
        migrations.AlterModelOptions(name="alert", options={"ordering": ["-id"]}),
        migrations.AddField(
            model_name="alert",
            name="caused_by",
            field=models.CharField(blank=True, db_default="", default="", max_length=30),
        ),
        migrations.AddField(
            model_name="sightingrow",
            name="caused_by",
            field=models.CharField(blank=True, db_default="", default="", max_length=30),
        ),
        AddIndex(
            model_name="alert",
            index=models.Index(fields=["state", "caused_by", "id"], name="alerts_by_dfsp"),
        ),
        AddIndex(
            model_name="alert",
            index=models.Index(
                condition=models.Q(("notified_at__isnull", True)),
                fields=["caused_by", "id"],
                name="alerts_not_notified_by_dfsp",
            ),
        ),
        RemoveIndex(model_name="alert", name="alerts_not_notified"),
        AddIndex(
            model_name="alert",
            index=models.Index(condition=models.Q(("state", "OPEN")), fields=["id"], name="alerts_open_by_id"),
        ),
        RemoveIndex(model_name="alert", name="alerts_open"),
    ]
