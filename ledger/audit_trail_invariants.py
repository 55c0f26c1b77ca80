"""The invariants of the audit trail: every change of funds, caps and credentials has an audit entry with the change's
maker.

`hub.audit.trail` checks that the entries form an unbroken chain. These invariants compare each audit entry with the row
that the entry describes.
"""

from hub.invariant_type import Invariant

INVARIANTS = [
    Invariant(
        "every_movement_of_funds_is_in_the_audit_trail",
        "Each step of funds in or funds out has an audit entry with the same amount, currency and reason.",
        """WITH due AS (
             SELECT step.action, p.name AS subject, m.transfer_id, m.amount::text AS amount,
                    CASE WHEN step.begins THEN a.currency END AS currency,
                    CASE WHEN step.begins THEN m.reason END AS reason,
                    CASE WHEN NOT step.begins THEN m.external_reference END AS reference
             FROM ledger_fundsmovement m
             JOIN ledger_account a ON a.id = m.account_id
             JOIN participants_participant p ON p.id = a.participant_id
             CROSS JOIN LATERAL (VALUES
                 ('funds_in', m.kind = 'FUNDS_IN', true),
                 ('funds_out_reserved', m.kind = 'FUNDS_OUT', true),
                 ('funds_out_' || lower(m.state), m.kind = 'FUNDS_OUT' AND m.state <> 'RESERVED', false)
             ) AS step (action, is_due, begins)
             WHERE step.is_due),
           told AS (
             SELECT action, subject, after ->> 'transferId' AS transfer_id, after ->> 'amount' AS amount,
                    after ->> 'currency' AS currency,
                    CASE WHEN action IN ('funds_in', 'funds_out_reserved') THEN after ->> 'reason' END AS reason,
                    after ->> 'externalReference' AS reference
             FROM audit_entry
             WHERE action IN ('funds_in', 'funds_out_reserved', 'funds_out_committed', 'funds_out_aborted'))
           SELECT action, subject, transfer_id, due.amount, told.amount AS amount_told
           FROM due FULL JOIN told USING (action, subject, transfer_id)
           WHERE (due.amount, due.currency, due.reason, due.reference)
                 IS DISTINCT FROM (told.amount, told.currency, told.reason, told.reference)""",
    ),
    Invariant(
        "every_cap_is_in_the_audit_trail",
        "Each net debit cap and each alarm percentage has the value in its latest audit entry.",
        """WITH told AS (
             SELECT DISTINCT ON (subject, after ->> 'currency') subject, after ->> 'currency' AS currency,
                    after ->> 'ndc' AS cap, coalesce(after ->> 'alarmPercentage', '10') AS alarm
             FROM audit_entry WHERE action IN ('ndc_set', 'ndc_changed')
             ORDER BY subject, after ->> 'currency', id DESC),
           kept AS (
             SELECT p.name AS subject, a.currency, a.net_debit_cap::text AS cap, a.alarm_percentage::text AS alarm
             FROM ledger_account a JOIN participants_participant p ON p.id = a.participant_id
             WHERE a.net_debit_cap IS NOT NULL)
           SELECT subject, currency, kept.cap, told.cap AS cap_told, kept.alarm, told.alarm AS alarm_told
           FROM kept FULL JOIN told USING (subject, currency)
           WHERE (kept.cap, kept.alarm) IS DISTINCT FROM (told.cap, told.alarm)""",
    ),
    Invariant(
        "every_credential_is_in_the_audit_trail",
        "Each credential has audit entries with the same owner, kind, label, digest, end of validity and revocation.",
        """WITH told AS (
             SELECT added.subject, added.after ->> 'id' AS id, added.after ->> 'kind' AS kind,
                    added.after ->> 'label' AS label, added.after ->> 'sha256' AS sha256,
                    CASE WHEN pg_input_is_valid(added.after ->> 'validUntil', 'timestamptz')
                         THEN (added.after ->> 'validUntil')::timestamptz END AS valid_until,
                    EXISTS (SELECT FROM audit_entry revoked
                            WHERE revoked.action = 'credential_revoked' AND revoked.subject = added.subject
                              AND revoked.before ->> 'id' = added.after ->> 'id') AS is_revoked
             FROM audit_entry added WHERE added.action = 'credential_added'),
           given AS (
             SELECT p.name AS subject, c.id::text AS id, c.kind, c.label,
                    CASE WHEN c.kind = 'client' THEN '' ELSE c.sha256 END AS sha256,
                    c.valid_until, c.revoked_at IS NOT NULL AS is_revoked
             FROM participants_credential c JOIN participants_participant p ON p.id = c.participant_id)
           SELECT subject, id, given.kind, given.valid_until, told.valid_until AS valid_until_told, given.is_revoked,
                  told.is_revoked AS is_revoked_told
           FROM given FULL JOIN told USING (subject, id)
           WHERE (given.kind, given.label, given.sha256, given.valid_until, given.is_revoked)
                 IS DISTINCT FROM (told.kind, told.label, told.sha256, told.valid_until, told.is_revoked)""",
    ),
    Invariant(
        "what_was_erased_is_in_the_audit_trail",
        "Each erasure of messages has an audit entry with the same or a later time.",
        """SELECT e.kind, e.up_to FROM sweeps_erasure e
           WHERE e.up_to > '1970-01-02' AND NOT EXISTS
                 (SELECT FROM audit_entry a WHERE a.action = 'texts_erased' AND a.subject = e.kind
                    AND pg_input_is_valid(a.after ->> 'before', 'timestamptz')
                    AND (a.after ->> 'before')::timestamptz >= e.up_to)""",
    ),
    Invariant(
        "every_credential_is_what_it_is_known_by",
        "The stored SHA-256 of a certificate or a signing key is the SHA-256 of the stored bytes.",
        # In the SQL, decode() returns the stored bytes. Four base64 characters encode three bytes.
        """SELECT id, participant_id, kind, label
           FROM (SELECT *, regexp_replace(pem, '-----[A-Z ]+-----|[[:space:]]', '', 'g') AS octets
                 FROM participants_credential WHERE kind <> 'client') c
           WHERE CASE WHEN octets ~ '^[A-Za-z0-9+/]+={0,2}$' AND length(octets) % 4 = 0
                      THEN encode(sha256(decode(octets, 'base64')), 'hex') ELSE '' END <> sha256""",
    ),
]
