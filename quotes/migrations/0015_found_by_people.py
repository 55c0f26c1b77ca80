"""Adds the indexes by which operators find a customer's quotes and requests to pay: by identifier, amount and time."""

from django.db import migrations, models
from django.db.models import F, Func, Q, Value

from hub.concurrent_indexes import AddIndex, RemoveIndex

# The amount in ten-thousandths that a message requests. A message in neither form has no amount, which is no error.
AMOUNT = """
    CREATE OR REPLACE FUNCTION quotes_amount(request bytea) RETURNS bigint LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
    DECLARE
        body jsonb;
    BEGIN
        body := convert_from(request, 'UTF8')::jsonb;
        RETURN (coalesce(body #>> '{amount,amount}',
                         body #>> '{CdtTrfTxInf,IntrBkSttlmAmt,ActiveCurrencyAndAmount}')::numeric * 10000)::bigint;
    EXCEPTION WHEN data_exception OR program_limit_exceeded THEN
        RETURN NULL;
    END $$
"""
CURRENCY = """
    CREATE OR REPLACE FUNCTION quotes_currency(request bytea) RETURNS text LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
    DECLARE
        body jsonb;
    BEGIN
        body := convert_from(request, 'UTF8')::jsonb;
        RETURN left(coalesce(body #>> '{amount,currency}', body #>> '{CdtTrfTxInf,IntrBkSttlmAmt,Ccy}'), 3);
    EXCEPTION WHEN data_exception OR program_limit_exceeded THEN
        RETURN NULL;
    END $$
"""
# A request to pay names its payer without `partyIdInfo`: FSPIOP API v1.1, table 17.
REQUEST_ALIAS = """
    CREATE OR REPLACE FUNCTION quotes_request_alias(request bytea, side text) RETURNS text
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
    DECLARE
        body jsonb;
    BEGIN
        body := convert_from(request, 'UTF8')::jsonb;
        RETURN left(coalesce(body #>> ARRAY[side, 'partyIdInfo', 'partyIdentifier'],
                             body #>> ARRAY[side, 'partyIdentifier']), 128);
    EXCEPTION WHEN data_exception OR program_limit_exceeded THEN
        RETURN NULL;
    END $$
"""
FAILED = Q(state__in=["REJECTED", "EXPIRED"])


def _alias(side, function="quotes_alias"):
    return Func(F("request"), Value(side), function=function, output_field=models.CharField())


def _amount():
    return Func(F("request"), function="quotes_amount", output_field=models.BigIntegerField())


LATEST = F("created_at").desc()


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("quotes", "0014_no_facts_of_requests_to_pay")]

    operations = [
        migrations.RunSQL(AMOUNT, "DROP FUNCTION quotes_amount(bytea)"),
        migrations.RunSQL(CURRENCY, "DROP FUNCTION quotes_currency(bytea)"),
        migrations.RunSQL(REQUEST_ALIAS, "DROP FUNCTION quotes_request_alias(bytea, text)"),
        AddIndex("quote", models.Index(_alias("payer"), LATEST, name="quote_of_payers_alias")),
        AddIndex("quote", models.Index(_alias("payee"), LATEST, name="quote_of_payees_alias")),
        RemoveIndex("quote", "quote_by_payers_alias"),
        RemoveIndex("quote", "quote_by_payees_alias"),
        AddIndex("quote", models.Index(fields=["created_at"], condition=FAILED, name="quote_failed_by_arrival")),
        AddIndex("quote", models.Index(fields=["payer", "created_at"], condition=FAILED, name="quote_failed_by_payer")),
        AddIndex("quote", models.Index(fields=["payee", "created_at"], condition=FAILED, name="quote_failed_by_payee")),
        AddIndex("quote", models.Index(_amount(), LATEST, condition=FAILED, name="quote_failed_by_amount")),
        AddIndex(
            "quote",
            models.Index(
                fields=["transfer_amount", "created_at"],
                condition=Q(transfer_amount__isnull=False),
                name="quote_by_amount",
            ),
        ),
        AddIndex(
            "transactionrequest",
            models.Index(_alias("payer", "quotes_request_alias"), LATEST, name="request_of_payers_alias"),
        ),
        AddIndex(
            "transactionrequest",
            models.Index(_alias("payee", "quotes_request_alias"), LATEST, name="request_of_payees_alias"),
        ),
        AddIndex("transactionrequest", models.Index(_amount(), LATEST, name="request_by_amount")),
    ]
