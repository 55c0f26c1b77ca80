from django.db import migrations, models

from hub.concurrent_indexes import AddIndex


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("rules_alerts", "0001_initial")]

    operations = [
        AddIndex(
            model_name="alert",
            index=models.Index(
                condition=models.Q(("closed_at__isnull", False)), fields=["closed_at"], name="alerts_by_closing"
            ),
        ),
    ]
