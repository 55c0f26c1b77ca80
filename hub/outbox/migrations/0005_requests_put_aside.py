"""The time at which an operator put a given-up request aside.

Every row satisfies the new constraint, because the column is new. PostgreSQL checks the rows in the next migration,
without blocking them.
"""

from django.contrib.postgres.operations import AddConstraintNotValid
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("outbox", "0004_texts_kept_for_a_time")]

    operations = [
        migrations.AddField("message", "put_aside_at", models.DateTimeField(null=True)),
        AddConstraintNotValid(
            "message",
            models.CheckConstraint(
                condition=models.Q(put_aside_at__isnull=True) | models.Q(state="DEAD", reply_to__isnull=False),
                name="only_a_request_that_was_given_up_is_put_aside",
            ),
        ),
    ]
