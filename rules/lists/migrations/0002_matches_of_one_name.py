"""A match is about one name of a party. So a cleared match of one name hides no match of another name."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("rules_lists", "0001_initial")]

    operations = [
        migrations.AddConstraint(
            model_name="namematch",
            constraint=models.UniqueConstraint(
                fields=("key", "entry", "name"), name="a_name_of_a_party_matches_a_listed_name_once"
            ),
        ),
        migrations.RemoveConstraint(model_name="namematch", name="a_party_matches_a_listed_name_once"),
    ]
