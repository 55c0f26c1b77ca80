"""Adds an index on the identifiers of payers and payees, which PostgreSQL reads from the quotes' stored messages."""

from django.db import migrations, models

# The identifier's place in FSPIOP API v1.1, section 7.4.12, and in pacs.081. If a message has neither form, it has no
# identifier, and this is no error.
ALIAS = """
    CREATE FUNCTION quotes_alias(request bytea, side text) RETURNS text LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
    DECLARE
        body jsonb;
        party jsonb;
    BEGIN
        body := convert_from(request, 'UTF8')::jsonb;
        party := body #> ARRAY['CdtTrfTxInf', CASE side WHEN 'payer' THEN 'Dbtr' ELSE 'Cdtr' END, 'Id'];
        RETURN left(coalesce(body #>> ARRAY[side, 'partyIdInfo', 'partyIdentifier'],
                             party #>> '{PrvtId,Othr,Id}', party #>> '{OrgId,Othr,Id}'), 128);
    EXCEPTION WHEN data_exception OR program_limit_exceeded THEN
        RETURN NULL;
    END $$
"""


def _by_alias(side):
    alias = models.Func(
        models.F("request"), models.Value(side), function="quotes_alias", output_field=models.CharField()
    )
    return models.Index(alias, name=f"quote_by_{side}s_alias")


class Migration(migrations.Migration):
    dependencies = [("quotes", "0006_terms")]

    operations = [
        migrations.RunSQL(ALIAS, "DROP FUNCTION quotes_alias(bytea, text)"),
        migrations.AddIndex(model_name="quote", index=_by_alias("payer")),
        migrations.AddIndex(model_name="quote", index=_by_alias("payee")),
        migrations.AddIndex(
            model_name='fxquote',
            index=models.Index(fields=['determining_transfer_id'], name='fx_quote_by_determining'),
        ),
        migrations.AddIndex(
            model_name='fxquote',
            index=models.Index(fields=['created_at'], name='fx_quote_by_arrival'),
        ),
    ]
