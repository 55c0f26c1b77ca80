from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('portal', '0014_the_end_of_a_certification_ends_its_payments'),
    ]

    operations = [
        migrations.AddField(
            model_name='certificationcase',
            name='reported',
            field=models.JSONField(null=True),
        ),
    ]
