from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('participants', '0004_endpoints_version'),
    ]

    operations = [
        migrations.AddField(
            model_name='participant',
            name='may_receive',
            field=models.BooleanField(db_default=True, default=True),
        ),
        migrations.AddField(
            model_name='participant',
            name='may_send',
            field=models.BooleanField(db_default=True, default=True),
        ),
    ]
