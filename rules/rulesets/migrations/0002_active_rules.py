"""Creates the SQL function that reads the active rules for a group of messages in one statement.

A volatile function takes a new snapshot for each of its statements. So the function's second statement sees an
activation for which the first statement has waited.
"""

from django.db import migrations

ACTIVE = """
    CREATE FUNCTION rules_active(OUT version bigint, OUT variances bigint, OUT was_ever boolean, OUT now timestamptz)
    LANGUAGE plpgsql VOLATILE AS $$
    BEGIN
        PERFORM pg_advisory_xact_lock_shared(1263075331);  -- rules.rulesets.store.RULES_LOCK
        now := clock_timestamp();
        SELECT (SELECT a.version_id FROM rules_rulesets_activation a
                WHERE a.valid_from <= now AND (a.valid_until IS NULL OR a.valid_until > now)
                  AND a.cancelled_at IS NULL
                ORDER BY a.valid_from DESC, a.id DESC LIMIT 1),
               coalesce((SELECT v.id FROM rules_rulesets_variance v ORDER BY v.id DESC LIMIT 1), 0),
               EXISTS (SELECT FROM rules_rulesets_activation a)
        INTO version, variances, was_ever;
    END
    $$
"""


class Migration(migrations.Migration):
    dependencies = [("rules_rulesets", "0001_initial")]

    operations = [migrations.RunSQL(ACTIVE, "DROP FUNCTION rules_active()")]
