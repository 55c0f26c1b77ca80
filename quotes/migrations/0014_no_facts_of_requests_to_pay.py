from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [
        ("quotes", "0013_terms_expire"),
    ]

    operations = [
        migrations.RemoveField(
            model_name="transactionrequest",
            name="rule_facts",
        ),
    ]
