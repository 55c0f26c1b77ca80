import pgtrigger.compiler
import pgtrigger.migrations
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('participants', '0002_currency_pairs'),
    ]

    operations = [
        # Static tokens are no credentials any more; a participant gets a client instead.
        migrations.RunSQL("DELETE FROM participants_credential WHERE kind = 'token'", migrations.RunSQL.noop),
        migrations.AddField(
            model_name='credential',
            name='label',
            field=models.CharField(default='', max_length=255),
        ),
        migrations.AddField(
            model_name='credential',
            name='pem',
            field=models.TextField(default=''),
        ),
        migrations.AddField(
            model_name='participant',
            name='jws_compat',
            field=models.BooleanField(default=False),
        ),
        migrations.AlterField(
            model_name='credential',
            name='kind',
            field=models.CharField(choices=[('certificate', 'Certificate'), ('client', 'Client'), ('signingKey', 'Signing Key')], max_length=16),
        ),
        migrations.AlterField(
            model_name='credential',
            name='sha256',
            field=models.CharField(max_length=64),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='credential',
            trigger=pgtrigger.compiler.Trigger(name='a_revoked_credential_stays_revoked', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (OLD."revoked_at" IS NOT NULL)', func="RAISE EXCEPTION 'pgtrigger: Cannot update rows from % table', TG_TABLE_NAME;", hash='da402a9411adbe85132aea735f7e938090de723f', operation='UPDATE', pgid='pgtrigger_a_revoked_credential_stays_revoked_f043a', table='participants_credential', when='BEFORE')),
        ),
        migrations.AddConstraint(
            model_name='credential',
            constraint=models.CheckConstraint(condition=models.Q(('kind__in', ['certificate', 'client', 'signingKey'])), name='a_credential_is_a_certificate_a_client_or_a_key'),
        ),
        migrations.AddConstraint(
            model_name='credential',
            constraint=models.UniqueConstraint(fields=('sha256',), name='a_credential_is_given_once'),
        ),
        migrations.AddConstraint(
            model_name='credential',
            constraint=models.UniqueConstraint(condition=models.Q(('kind', 'client')), fields=('label',), name='a_client_key_belongs_to_one_client'),
        ),
    ]
