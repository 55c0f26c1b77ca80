"""No participant offers a conversion of test money."""

from django.contrib.postgres.operations import AddConstraintNotValid
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("participants", "0007_leaving")]

    operations = [
        AddConstraintNotValid(
            model_name="currencypair",
            constraint=models.CheckConstraint(
                condition=~models.Q(source_currency="XTS") & ~models.Q(target_currency="XTS"),
                name="nobody_converts_test_money",
            ),
        ),
    ]
