from django.db import migrations


class Migration(migrations.Migration):

    dependencies = [
        ('quotes', '0012_facts_for_rules'),
    ]

    operations = [
        migrations.RemoveField(
            model_name='transactionrequest',
            name='rule_facts',
        ),
    ]
