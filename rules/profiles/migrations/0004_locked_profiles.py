"""Adds the SQL function that creates, locks and reads profiles, so that a group of transfers sends one SQL statement for
this."""

from django.db import migrations

# Each statement of a volatile function reads everything that was committed before this statement. So the function finds
# the profiles that another transaction has created meanwhile, and the rows that were added before the lock. The rows
# with an `id` are the waiting additions and removals. The other rows are the profiles.
LOCKED = """
    CREATE FUNCTION rules_locked_profiles(keys bigint[])
    RETURNS TABLE (key bigint, ring bytea, id bigint, role smallint, is_removal boolean, transfer_id varchar,
                   served_by bigint, is_refund boolean, currency varchar, amount bigint, reserved_at timestamptz,
                   payer_key bigint, payee_key bigint, alias_key bigint, payer_dfsp_key bigint, payee_dfsp_key bigint,
                   pair_key bigint, original_key bigint)
    LANGUAGE plpgsql VOLATILE AS $$
    #variable_conflict use_column
    BEGIN
        INSERT INTO rules_profiles_profile (key) SELECT k.key FROM unnest(keys) AS k (key) ON CONFLICT (key) DO NOTHING;
        RETURN QUERY
        SELECT p.key, p.ring, NULL::bigint, NULL::smallint, NULL::boolean, NULL::varchar, NULL::bigint, NULL::boolean,
               NULL::varchar, NULL::bigint, NULL::timestamptz, NULL::bigint, NULL::bigint, NULL::bigint, NULL::bigint,
               NULL::bigint, NULL::bigint, NULL::bigint
        FROM rules_profiles_profile p WHERE p.key = ANY(keys) ORDER BY p.key FOR NO KEY UPDATE;
        RETURN QUERY
        SELECT u.key, NULL::bytea, u.id, u.role, u.is_removal, c.transfer_id, c.served_by, c.is_refund, c.currency,
               c.amount, c.reserved_at, c.payer_key, c.payee_key, c.alias_key, c.payer_dfsp_key, c.payee_dfsp_key,
               c.pair_key, c.original_key
        FROM rules_profiles_unfoldedcount u JOIN rules_profiles_countedtransfer c ON c.transfer_id = u.transfer_id
        WHERE u.key = ANY(keys);
    END
    $$
"""


class Migration(migrations.Migration):
    dependencies = [("rules_profiles", "0003_latest_payments_of_a_profile")]

    operations = [migrations.RunSQL(LOCKED, "DROP FUNCTION rules_locked_profiles(bigint[])")]
