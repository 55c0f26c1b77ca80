"""The invariants of profiles: each profile counts exactly the transfers that are reserved or committed.

The SQL statements of these invariants compare numbers and sums. `manage.py rebuild_profiles --check` also compares the
payments one by one.
"""

from hub.invariant_type import Invariant
from rules.profiles.counted_payments import BY_ROLE

INVARIANTS = [
    Invariant(
        "counted_transfers_are_those_that_were_reserved",
        "The counted time and amount of each transfer equal the time and amount of its reservation. "
        "A transfer counts unless it was aborted.",
        """SELECT c.transfer_id, t.state, c.ended, c.amount AS counted_amount, t.amount
           FROM rules_profiles_countedtransfer c LEFT JOIN ledger_transfer t ON t.transfer_id = c.transfer_id
           WHERE t.payer_account_id IS NULL OR c.ended <> (t.state = 'ABORTED')
              OR (c.currency, c.amount, c.reserved_at) <> (t.currency, t.amount, t.received_at)""",
    ),
    Invariant(
        "profiles_add_up",
        "The totals of a profile and of its pending rows add up to the number and the sums of the counted transfers.",
        f"""WITH counts AS (
               SELECT r.key, 1 AS sign, c.amount, r.receives
               FROM rules_profiles_countedtransfer c CROSS JOIN LATERAL ({BY_ROLE}) AS r (role, key, receives)
               WHERE r.key IS NOT NULL AND NOT c.ended
             UNION ALL
               SELECT u.key, CASE WHEN u.is_removal THEN 1 ELSE -1 END, c.amount, r.receives
               FROM rules_profiles_unfoldedcount u
               JOIN rules_profiles_countedtransfer c ON c.transfer_id = u.transfer_id
               CROSS JOIN LATERAL ({BY_ROLE}) AS r (role, key, receives)
               WHERE r.role = u.role),
             due AS (
               SELECT key, sum(sign) AS counted, coalesce(sum(sign * amount) FILTER (WHERE NOT receives), 0) AS sent,
                      coalesce(sum(sign * amount) FILTER (WHERE receives), 0) AS received
               FROM counts GROUP BY key)
           SELECT coalesce(p.key, due.key) AS key, p.counted, due.counted AS due_counted, p.sent, due.sent AS due_sent,
                  p.received, due.received AS due_received
           FROM rules_profiles_profile p FULL JOIN due ON due.key = p.key
           WHERE (coalesce(p.counted, 0), coalesce(p.sent, 0), coalesce(p.received, 0))
              <> (coalesce(due.counted, 0), coalesce(due.sent, 0), coalesce(due.received, 0))""",  # noqa: S608
    ),
]
