from django.db import migrations, models

_ONE_RUNS = """
    UPDATE portal_rulereplay SET state = 'FAILED', ended_at = now(), fault = 'another replay ran at the same time'
    WHERE state = 'RUNNING' AND id <> (SELECT max(id) FROM portal_rulereplay WHERE state = 'RUNNING')
"""


class Migration(migrations.Migration):
    dependencies = [("portal", "0006_rule_replays")]

    operations = [
        migrations.RunSQL(_ONE_RUNS, migrations.RunSQL.noop),
        migrations.AddConstraint(
            model_name="rulereplay",
            constraint=models.UniqueConstraint(
                condition=models.Q(("state", "RUNNING")), fields=("state",), name="one_replay_runs_at_a_time"
            ),
        ),
    ]
