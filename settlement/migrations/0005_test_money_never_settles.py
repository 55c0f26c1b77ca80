"""No settlement model settles test money, and no content of a window has test money."""

from django.contrib.postgres.operations import AddConstraintNotValid
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("settlement", "0004_closing")]

    operations = [
        AddConstraintNotValid(
            model_name="settlementmodel",
            constraint=models.CheckConstraint(
                condition=models.Q(currency__isnull=True) | ~models.Q(currency="XTS"),
                name="no_model_settles_test_money",
            ),
        ),
        AddConstraintNotValid(
            model_name="windowcontent",
            constraint=models.CheckConstraint(condition=~models.Q(currency="XTS"), name="test_money_is_in_no_content"),
        ),
    ]
