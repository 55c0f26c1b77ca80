"""Adds the tables of the history of payments, and the functions that its statements use."""

from django.db import migrations, models

USE_CASE = """
    CREATE FUNCTION portal_use_case(request bytea) RETURNS text LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
    DECLARE
        body jsonb;
    BEGIN
        IF request = ''::bytea THEN
            RETURN NULL;  -- the text was erased
        END IF;
        body := convert_from(request, 'UTF8')::jsonb;
        RETURN nullif(left(coalesce(body #>> '{transactionType,scenario}', body #>> '{CdtTrfTxInf,Purp,Prtry}',
                                    CASE WHEN body ? 'CdtTrfTxInf' THEN 'TRANSFER' END), 32), '');
    EXCEPTION WHEN data_exception OR program_limit_exceeded THEN
        RETURN NULL;
    END $$
"""
COUNTS_ADDED = """
    CREATE FUNCTION portal_counts_added(a jsonb, b jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
        SELECT coalesce(jsonb_object_agg(key, n), '{}')
        FROM (SELECT key, sum(value::bigint) AS n
              FROM (SELECT * FROM jsonb_each_text(a) UNION ALL SELECT * FROM jsonb_each_text(b)) both_of_them
              GROUP BY key) added
    $$
"""
SOURCES = [("transfer", "Transfer"), ("quote", "Quote"), ("lookup", "Lookup")]


class Migration(migrations.Migration):
    dependencies = [
        ("directory", "0007_ended_lookups"),
        ("portal", "0010_alarms"),
    ]

    operations = [
        migrations.RunSQL(USE_CASE, "DROP FUNCTION portal_use_case(bytea)"),
        migrations.RunSQL(COUNTS_ADDED, "DROP FUNCTION portal_counts_added(jsonb, jsonb)"),
        migrations.CreateModel(
            name="HistoryRow",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("source", models.CharField(choices=SOURCES, max_length=8)),
                (
                    "grain",
                    models.CharField(
                        choices=[("hour", "Hour"), ("day", "Day"), ("week", "Week"), ("month", "Month")], max_length=5
                    ),
                ),
                ("scope", models.PositiveSmallIntegerField()),
                ("at", models.DateTimeField()),
                ("payer_id", models.BigIntegerField()),
                ("payee_id", models.BigIntegerField()),
                ("use_case", models.CharField(max_length=32)),
                ("currency", models.CharField(max_length=3)),
                ("ended", models.BigIntegerField()),
                ("succeeded", models.BigIntegerField()),
                ("value", models.DecimalField(decimal_places=0, max_digits=38)),
                ("durations", models.JSONField()),
                ("reasons", models.JSONField()),
            ],
            options={
                "ordering": ["at"],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("source", "grain", "scope", "at", "payer_id", "payee_id", "use_case", "currency"),
                        name="one_row_of_history_per_period_and_scope",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("ended__gt", 0),
                            ("ended__gte", models.F("succeeded")),
                            ("succeeded__gte", 0),
                            ("value__gte", 0),
                        ),
                        name="a_row_of_history_counts_what_ended",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="HistoryMark",
            fields=[
                ("source", models.CharField(choices=SOURCES, max_length=8, primary_key=True, serialize=False)),
                ("up_to", models.DateTimeField()),
                ("open_position", models.CharField(blank=True, db_default="", default="", max_length=36)),
                ("time_zone", models.CharField(max_length=64)),
            ],
        ),
        migrations.CreateModel(
            name="HistoryOpen",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("source", models.CharField(choices=SOURCES, max_length=8)),
                ("row_id", models.CharField(max_length=36)),
            ],
            options={
                "ordering": ["source", "row_id"],
                "constraints": [
                    models.UniqueConstraint(fields=("source", "row_id"), name="a_row_waits_for_its_end_once")
                ],
            },
        ),
    ]
