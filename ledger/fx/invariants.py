# ruff: noqa: S608 (statements are put together from constants)
"""The invariants of conversions. Each invariant is an SQL statement with a name, and must return no row.

`ledger.invariants` runs the statements.
"""

from hub.invariant_type import Invariant, fits

INVARIANTS = [
    Invariant(
        "a_conversion_ends_with_its_transfer",
        "A conversion is COMMITTED only if its transfer is COMMITTED. No conversion waits for a transfer that has "
        "ended.",
        """SELECT f.commit_request_id, f.state, t.transfer_id, t.state AS state_of_transfer
           FROM ledger_fxtransfer f
           LEFT JOIN ledger_transfer t ON t.transfer_id = f.determining_transfer_id
                                      AND f.commit_request_id IN (t.payer_conversion_id, t.payee_conversion_id)
           WHERE (f.state = 'COMMITTED') <> coalesce(t.state = 'COMMITTED'
                                                     AND NOT (f.side = 'PAYEE' AND f.state = 'ABORTED'), false)
              OR (f.state IN ('RESERVED', 'AGREED') AND t.state <> 'RESERVED')
           UNION ALL
           SELECT f.commit_request_id, f.state, t.transfer_id, t.state
           FROM ledger_transfer t JOIN ledger_fxtransfer f ON f.commit_request_id = t.payer_conversion_id
           WHERE t.state = 'RESERVED' AND f.state <> 'AGREED'""",
    ),
    Invariant(
        "every_conversion_has_its_entry",
        "Each COMMITTED conversion has one entry of its own leg in its transfer's window. Other conversions have none.",
        """SELECT coalesce(f.commit_request_id, e.transfer_id) AS commit_request_id, f.state, e.amount AS posted
           FROM (SELECT *, CASE side WHEN 'PAYER' THEN source_amount ELSE target_amount END AS amount
                 FROM ledger_fxtransfer WHERE state = 'COMMITTED') f
           FULL JOIN (SELECT * FROM ledger_entry WHERE kind = 'FX_TRANSFER') e ON e.transfer_id = f.commit_request_id
           LEFT JOIN ledger_entry t ON t.transfer_id = f.determining_transfer_id AND t.kind = 'TRANSFER'
           WHERE f.commit_request_id IS NULL OR e.transfer_id IS NULL OR f.amount <> e.amount
              OR f.debit_account_id <> e.debit_account_id OR f.credit_account_id <> e.credit_account_id
              OR t.window_id IS DISTINCT FROM e.window_id""",
    ),
    Invariant(
        "what_is_converted_is_what_is_paid",
        "A conversion's transfer has the amount and currency of the conversion's second leg, and debits or credits "
        "the FXP.",
        """SELECT f.commit_request_id, t.transfer_id, t.currency, t.amount
           FROM ledger_fxtransfer f
           JOIN ledger_transfer t ON f.commit_request_id IN (t.payer_conversion_id, t.payee_conversion_id)
           WHERE (t.currency, t.amount) <> CASE f.side WHEN 'PAYER' THEN (f.target_currency, f.target_amount)
                                                       ELSE (f.source_currency, f.source_amount) END
              OR (f.side = 'PAYER' AND (t.payer_account_id <> f.bridge_account_id OR t.payer_id <> f.initiator_id))
              OR (f.side = 'PAYEE' AND t.payee_id <> f.initiator_id)""",
    ),
    Invariant(
        "history_leads_to_the_conversions_state",
        "The history of a conversion has each required state once, in the right order, up to the present state.",
        """SELECT f.commit_request_id, f.state, h.states
           FROM ledger_fxtransfer f
           LEFT JOIN (SELECT fx_transfer_id, array_agg(state::text ORDER BY id) AS states
                      FROM ledger_fxtransferevent GROUP BY 1) h ON h.fx_transfer_id = f.commit_request_id
           WHERE h.states IS DISTINCT FROM
                 CASE WHEN f.debit_account_id IS NULL THEN ARRAY['ABORTED']
                      WHEN f.state = 'RESERVED' THEN ARRAY['RESERVED']
                      WHEN f.state = 'AGREED' THEN ARRAY['RESERVED', 'AGREED']
                      WHEN f.agreed_at IS NULL THEN ARRAY['RESERVED', f.state::text]
                      ELSE ARRAY['RESERVED', 'AGREED', f.state::text] END""",
    ),
    Invariant(
        "no_conversion_is_held_for_ever",
        "If a conversion is still open ten seconds after its time limit, its transfer is reserved.",
        """SELECT f.commit_request_id, f.state, f.held_until FROM ledger_fxtransfer f
           WHERE f.state IN ('RESERVED', 'AGREED') AND f.held_until < clock_timestamp() - interval '10 seconds'
             AND NOT EXISTS (SELECT FROM ledger_transfer t
                             WHERE f.state = 'AGREED' AND t.transfer_id = f.determining_transfer_id
                               AND t.state = 'RESERVED'
                               AND f.commit_request_id IN (t.payer_conversion_id, t.payee_conversion_id))""",
    ),
    Invariant(
        "no_conversion_was_agreed_late",
        "No conversion was fulfilled at or after its expiration.",
        """SELECT commit_request_id, expires_at, agreed_at FROM ledger_fxtransfer WHERE agreed_at >= expires_at""",
    ),
    Invariant(
        "everyone_is_told_of_a_conversion",
        "The hub has sent or queued the prepare and the outcome for the FXP, and an answer or error for the initiator.",
        """WITH told AS (SELECT subject, destination_id, kind FROM outbox_message
                         UNION ALL SELECT subject, destination_id, kind FROM outbox_delivery),
                due AS (
           SELECT commit_request_id, fxp_id AS destination_id, 'fx-prepare' AS kind FROM ledger_fxtransfer
           WHERE debit_account_id IS NOT NULL
           UNION ALL
           SELECT commit_request_id, initiator_id, 'fx-answer' FROM ledger_fxtransfer WHERE agreed_at IS NOT NULL
           UNION ALL
           SELECT commit_request_id, fxp_id, 'fx-end-to-fxp' FROM ledger_fxtransfer
           WHERE state IN ('COMMITTED', 'ABORTED') AND debit_account_id IS NOT NULL
             AND reason IS DISTINCT FROM 'REJECTED_BY_FXP'
           UNION ALL
           SELECT commit_request_id, initiator_id, 'fx-end-to-initiator' FROM ledger_fxtransfer
           WHERE state = 'ABORTED' AND reason <> 'TRANSFER_WAS_ABORTED')
           SELECT due.* FROM due
           WHERE NOT EXISTS (SELECT FROM told WHERE told.subject = due.commit_request_id
                               AND told.destination_id = due.destination_id AND told.kind = due.kind)""",
    ),
    Invariant(
        "nobody_is_told_of_a_conversion_that_was_not",
        "Each message about a conversion agrees with its state. Only requests for reserved conversions were forwarded.",
        """WITH told AS (SELECT id, subject, kind FROM outbox_message
                         UNION ALL SELECT message_id, subject, kind FROM outbox_delivery)
           SELECT told.id, told.subject, told.kind, f.state
           FROM told LEFT JOIN ledger_fxtransfer f ON f.commit_request_id = told.subject
           WHERE (told.kind IN ('fx-end-to-fxp', 'fx-end-to-initiator')
                  AND (f.state IS NULL OR f.state IN ('RESERVED', 'AGREED')))
              OR (told.kind = 'fx-answer' AND f.agreed_at IS NULL)
              OR (told.kind = 'fx-prepare' AND f.debit_account_id IS NULL)""",
    ),
    Invariant(
        "a_conversion_is_between_its_parties",
        "Each leg of a conversion is in its own currency, between POSITION accounts of initiator and FXP.",
        """SELECT f.commit_request_id, f.side, f.debit_account_id, f.credit_account_id, f.bridge_account_id
           FROM ledger_fxtransfer f
           LEFT JOIN ledger_account debit ON debit.id = f.debit_account_id
           LEFT JOIN ledger_account credit ON credit.id = f.credit_account_id
           LEFT JOIN ledger_account bridge ON bridge.id = f.bridge_account_id
           LEFT JOIN participants_participant fxp ON fxp.id = f.fxp_id
           WHERE f.debit_account_id IS NOT NULL
             AND ((debit.type, credit.type, bridge.type) IS DISTINCT FROM ('POSITION', 'POSITION', 'POSITION')
                  OR fxp.name IS DISTINCT FROM f.fxp_name
                  OR (debit.participant_id, debit.currency, credit.participant_id, credit.currency,
                      bridge.participant_id, bridge.currency) IS DISTINCT FROM
                     CASE f.side WHEN 'PAYER'
                          THEN (f.initiator_id, f.source_currency, f.fxp_id, f.source_currency,
                                f.fxp_id, f.target_currency)
                          ELSE (f.fxp_id, f.target_currency, f.initiator_id, f.target_currency,
                                f.fxp_id, f.source_currency) END)""",
    ),
    Invariant(
        "conversions_fulfilments_fit_their_conditions",
        "The SHA-256 of each FXP's fulfilment is its conversion's condition.",
        f"""SELECT commit_request_id, condition, fulfilment FROM ledger_fxtransfer
            WHERE state IN ('AGREED', 'COMMITTED') AND ({fits("fulfilment", "condition")}) IS NOT TRUE""",
    ),
]
