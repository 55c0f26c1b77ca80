"""The invariants of settlement. `ledger.invariants` checks these invariants together with the ledger's invariants."""

from hub.test_currency import TEST_CURRENCY
from ledger import position_limit
from ledger.invariants import Invariant

INVARIANTS = [
    Invariant(
        "totals_are_the_sums_of_entries",
        "For each account, a window's totals are equal to the sums of the window's entries. Test money has no totals.",
        f"""WITH said AS (SELECT c.window_id, t.account_id, sum(t.debits) AS debits, sum(t.credits) AS credits
                         FROM settlement_contenttotal t JOIN settlement_windowcontent c ON c.id = t.content_id
                         GROUP BY 1, 2),
                is_so AS (SELECT legs.window_id, legs.account_id, sum(debits) AS debits, sum(credits) AS credits
                          FROM (SELECT window_id, debit_account_id AS account_id, amount AS debits, 0 AS credits
                                FROM ledger_entry WHERE currency <> '{TEST_CURRENCY}'
                                UNION ALL SELECT window_id, credit_account_id, 0, amount FROM ledger_entry
                                WHERE currency <> '{TEST_CURRENCY}') legs
                          JOIN ledger_settlementwindow w ON w.id = legs.window_id AND w.totalled_at IS NOT NULL
                          GROUP BY 1, 2)
           SELECT window_id, account_id, said.debits, is_so.debits AS entry_debits, said.credits,
                  is_so.credits AS entry_credits
           FROM said FULL JOIN is_so USING (window_id, account_id)
           WHERE said.debits IS DISTINCT FROM is_so.debits OR said.credits IS DISTINCT FROM is_so.credits""",  # noqa: S608
    ),
    Invariant(
        "test_money_never_settles",
        "Test money is in no settlement. No conversion of test money has arrived since the hub has a certifier. "
        "Earlier conversions can commit.",
        f"""SELECT 'content' AS what, c.id::text FROM settlement_windowcontent c WHERE c.currency = '{TEST_CURRENCY}'
           UNION ALL
           SELECT 'account of a settlement', s.id::text FROM settlement_settlementaccount s
           JOIN ledger_account a ON a.id = s.account_id WHERE a.currency = '{TEST_CURRENCY}'
           UNION ALL
           SELECT e.kind, e.id::text FROM ledger_entry e
           WHERE e.currency = '{TEST_CURRENCY}' AND e.kind NOT IN ('TRANSFER', 'FX_TRANSFER', 'FUNDS_IN', 'FUNDS_OUT')
           UNION ALL
           SELECT 'conversion', f.commit_request_id FROM ledger_fxtransfer f
           WHERE '{TEST_CURRENCY}' IN (f.source_currency, f.target_currency)
           AND f.received_at > (SELECT min(created_at) FROM participants_participant WHERE is_certifier)""",  # noqa: S608 (the only value is a constant)
    ),
    Invariant(
        "a_settlement_is_what_its_windows_hold",
        "Each account's net amount in a settlement is equal to the account's net amount in the settlement's contents.",
        """WITH held AS (SELECT i.settlement_id, t.account_id, sum(t.debits - t.credits) AS net
                         FROM settlement_inclusion i JOIN settlement_contenttotal t ON t.content_id = i.content_id
                         GROUP BY 1, 2)
           SELECT settlement_id, account_id, a.net, held.net AS net_of_contents
           FROM settlement_settlementaccount a FULL JOIN held USING (settlement_id, account_id)
           WHERE a.net IS DISTINCT FROM held.net""",
    ),
    Invariant(
        "a_settlement_comes_to_zero",
        "In each settlement and currency, the net amounts of all accounts add up to zero.",
        """SELECT s.settlement_id, a.currency, sum(s.net) AS difference
           FROM settlement_settlementaccount s JOIN ledger_account a ON a.id = s.account_id
           GROUP BY 1, 2 HAVING sum(s.net) <> 0""",
    ),
    Invariant(
        "what_is_settled_is_settled_once",
        "Each content is in at most one settlement that was not aborted, and has the state of this settlement.",
        """SELECT c.id, c.window_id, c.state, array_agg(s.state::text) AS settlements
           FROM settlement_windowcontent c
           LEFT JOIN settlement_inclusion i ON i.content_id = c.id AND NOT i.is_released
           LEFT JOIN settlement_settlement s ON s.id = i.settlement_id
           GROUP BY c.id
           HAVING count(s.id) > 1
              OR c.state <> CASE WHEN c.is_gross OR bool_and(s.state = 'SETTLED') THEN 'SETTLED'
                                 WHEN count(s.id) = 1 THEN 'PENDING_SETTLEMENT'
                                 WHEN EXISTS (SELECT FROM settlement_inclusion WHERE content_id = c.id) THEN 'ABORTED'
                                 ELSE 'CLOSED' END
              OR bool_or(s.state = 'ABORTED')""",
    ),
    Invariant(
        "a_window_is_what_its_contents_are",
        "A window is settled if all its contents are settled, and pending if some contents are settled. Contents "
        "with gross settlement do not count.",
        """SELECT w.id, w.state, array_agg(DISTINCT c.state::text) AS contents
           FROM ledger_settlementwindow w
           LEFT JOIN settlement_windowcontent c ON c.window_id = w.id AND NOT c.is_gross
           WHERE w.totalled_at IS NOT NULL
           GROUP BY w.id
           HAVING w.state <> CASE WHEN coalesce(bool_and(c.state = 'SETTLED'), true) THEN 'SETTLED'
                                  WHEN bool_or(c.state IN ('PENDING_SETTLEMENT', 'SETTLED')) THEN 'PENDING_SETTLEMENT'
                                  WHEN bool_or(c.state = 'ABORTED') THEN 'ABORTED' ELSE 'CLOSED' END""",
    ),
    Invariant(
        "a_settlement_is_as_far_as_its_accounts",
        "A settlement's state follows from the states of its accounts. These states differ by at most one step.",
        """WITH steps (state, step) AS (VALUES ('PENDING_SETTLEMENT', 0), ('PS_TRANSFERS_RECORDED', 1),
                ('PS_TRANSFERS_RESERVED', 2), ('PS_TRANSFERS_COMMITTED', 3), ('SETTLED', 4), ('ABORTED', 9))
           SELECT s.id, s.state, min(steps.step) AS first, max(steps.step) AS last
           FROM settlement_settlement s
           LEFT JOIN settlement_settlementaccount a ON a.settlement_id = s.id
           LEFT JOIN steps ON steps.state = a.state
           GROUP BY s.id
           HAVING count(a.id) = 0 OR max(steps.step) - min(steps.step) > 1
              OR s.state <> CASE WHEN min(steps.step) = 3 AND max(steps.step) = 4 THEN 'SETTLING'
                                 ELSE (SELECT state FROM steps x WHERE x.step = min(steps.step)) END""",
    ),
    Invariant(
        "a_settlements_history_leads_to_its_state",
        "The last event in the history of a settlement has the settlement's present state. The last event in the "
        "history of each account of a settlement has the account's present state.",
        """SELECT s.id AS settlement_id, NULL AS account, s.state, e.state AS recorded
           FROM settlement_settlement s
           LEFT JOIN LATERAL (SELECT state FROM settlement_settlementevent
                              WHERE settlement_id = s.id AND account_id IS NULL ORDER BY id DESC LIMIT 1) e ON true
           WHERE e.state IS DISTINCT FROM s.state
           UNION ALL
           SELECT a.settlement_id, a.account_id, a.state, e.state
           FROM settlement_settlementaccount a
           LEFT JOIN LATERAL (SELECT state FROM settlement_settlementevent
                              WHERE account_id = a.id ORDER BY id DESC LIMIT 1) e ON true
           WHERE e.state IS DISTINCT FROM a.state""",
    ),
    Invariant(
        "a_settlement_is_posted_as_far_as_it_is",
        "If the settlement model resets positions, a net recipient's account has an entry from the state RESERVED on, "
        "and a net sender's account has an entry from the state COMMITTED on.",
        """WITH due AS (
             SELECT a.transfer_id, a.account_id, abs(a.net) AS amount,
                    CASE WHEN NOT m.auto_position_reset THEN ''
                         WHEN a.net < 0 AND a.state IN
                              ('PS_TRANSFERS_RESERVED', 'PS_TRANSFERS_COMMITTED', 'SETTLED') THEN 'NET_RECIPIENT'
                         WHEN a.net > 0 AND a.state IN ('PS_TRANSFERS_COMMITTED', 'SETTLED') THEN 'NET_SENDER'
                         ELSE '' END AS kind
             FROM settlement_settlementaccount a
             JOIN settlement_settlement s ON s.id = a.settlement_id
             JOIN settlement_settlementmodel m ON m.id = s.model_id),
           posted AS (
             SELECT transfer_id, string_agg(kind, ',' ORDER BY kind) AS kinds,
                    min(amount) AS least, max(amount) AS most,
                    min(CASE kind WHEN 'NET_RECIPIENT' THEN debit_account_id ELSE credit_account_id END) AS account_id
             FROM ledger_entry WHERE kind IN ('NET_RECIPIENT', 'NET_SENDER', 'NET_ABORT') GROUP BY 1)
           SELECT transfer_id, due.kind, posted.kinds, due.amount, posted.least, posted.most
           FROM due FULL JOIN posted USING (transfer_id)
           WHERE due.transfer_id IS NULL
              OR CASE WHEN posted.kinds = 'NET_ABORT,NET_RECIPIENT' THEN '' ELSE coalesce(posted.kinds, '') END
                 <> due.kind
              OR (posted.kinds IS NOT NULL AND (posted.least <> due.amount OR posted.most <> due.amount
                                                OR posted.account_id <> due.account_id))""",
    ),
    Invariant(
        "a_settled_commit_is_settled_on_both_sides",
        "Immediate settlement moves a commit's amount between the payer's accounts and between the payee's accounts.",
        """SELECT transfer_id, payer.amount AS of_payer, payee.amount AS of_payee, e.amount
           FROM (SELECT * FROM ledger_entry WHERE kind = 'GROSS_PAYER') payer
           FULL JOIN (SELECT * FROM ledger_entry WHERE kind = 'GROSS_PAYEE') payee USING (transfer_id)
           LEFT JOIN (SELECT * FROM ledger_entry WHERE window_id IS NOT NULL) e USING (transfer_id)
           WHERE payer.amount IS DISTINCT FROM e.amount OR payee.amount IS DISTINCT FROM e.amount
              OR payer.credit_account_id <> e.debit_account_id OR payee.debit_account_id <> e.credit_account_id""",
    ),
    Invariant(
        "what_is_gross_is_settled",
        "If a currency has immediate settlement, every commit of a closed window in this currency is settled.",
        """SELECT e.id, e.transfer_id, e.currency
           FROM settlement_windowcontent c
           JOIN ledger_entry e ON e.window_id = c.window_id AND e.currency = c.currency
           JOIN ledger_account a ON a.id = e.debit_account_id AND a.type = c.ledger_account_type
           LEFT JOIN ledger_entry g ON g.transfer_id = e.transfer_id AND g.kind = 'GROSS_PAYER'
           WHERE c.is_gross <> (g.id IS NOT NULL)""",
    ),
    Invariant(
        "a_settlement_is_posted_against_the_hubs_account",
        "The second account of each settlement entry is the hub's multilateral settlement account in the entry's "
        "currency.",
        """SELECT e.id, e.transfer_id, e.kind, other.id AS against, other.type
           FROM ledger_entry e
           JOIN ledger_account other
             ON other.id = CASE e.kind WHEN 'NET_RECIPIENT' THEN e.credit_account_id ELSE e.debit_account_id END
           WHERE e.kind IN ('NET_RECIPIENT', 'NET_SENDER', 'NET_ABORT')
             AND (other.type <> 'HUB_MULTILATERAL_SETTLEMENT' OR other.currency <> e.currency)""",
    ),
    Invariant(
        "what_is_settled_at_once_is_settled_by_the_model",
        "A commit is settled immediately only if an immediate model exists for the commit's currency. Each entry of "
        "immediate settlement is between two accounts of one participant. The model names the types of these accounts.",
        """SELECT e.id, e.transfer_id, e.kind, held.id AS held, held.type, position.id AS position
           FROM ledger_entry e
           JOIN ledger_account held
             ON held.id = CASE e.kind WHEN 'GROSS_PAYER' THEN e.debit_account_id ELSE e.credit_account_id END
           JOIN ledger_account position
             ON position.id = CASE e.kind WHEN 'GROSS_PAYER' THEN e.credit_account_id ELSE e.debit_account_id END
           WHERE e.kind IN ('GROSS_PAYER', 'GROSS_PAYEE')
             AND (held.participant_id <> position.participant_id
                  OR NOT EXISTS (SELECT FROM settlement_settlementmodel m
                                 WHERE m.delay = 'IMMEDIATE' AND m.currency = e.currency
                                   AND m.ledger_account_type = position.type
                                   AND m.settlement_account_type = held.type))""",
    ),
    Invariant(
        "a_settlement_takes_what_its_model_settles",
        "Each content in a settlement has the currency and the account type that the settlement's model settles.",
        """SELECT i.settlement_id, c.id AS content, c.currency, c.ledger_account_type, m.name
           FROM settlement_inclusion i
           JOIN settlement_windowcontent c ON c.id = i.content_id
           JOIN settlement_settlement s ON s.id = i.settlement_id
           JOIN settlement_settlementmodel m ON m.id = s.model_id
           WHERE c.currency <> coalesce(m.currency, c.currency) OR c.ledger_account_type <> m.ledger_account_type
              OR m.delay = 'IMMEDIATE' OR c.is_gross""",
    ),
    Invariant(
        "closed_windows_are_added_up",
        "A window's totals exist soon after the window closed, and before any part of the window is settled.",
        """SELECT w.id, w.state, w.closed_at FROM ledger_settlementwindow w
           WHERE w.state <> 'OPEN' AND w.totalled_at IS NULL
             AND (w.closed_at < clock_timestamp() - interval '10 minutes'
                  OR w.state <> 'CLOSED'
                  OR EXISTS (SELECT FROM settlement_windowcontent c WHERE c.window_id = w.id))""",
    ),
    Invariant(
        "holds_are_of_net_senders",
        "Each hold on cover equals the net amount of a net sender whose position was reset.",
        """SELECT h.account_id, h.settlement_number, h.amount, sa.net, sa.state
           FROM ledger_coverhold h
           JOIN ledger_account held ON held.id = h.account_id
           LEFT JOIN ledger_account a ON a.participant_id = held.participant_id AND a.currency = held.currency
                                     AND a.type = 'POSITION'
           LEFT JOIN settlement_settlementaccount sa ON sa.settlement_id = h.settlement_number
                                                    AND sa.account_id = a.id
           WHERE held.type <> 'SETTLEMENT' OR sa.net IS DISTINCT FROM h.amount
              OR sa.state NOT IN ('PS_TRANSFERS_COMMITTED', 'SETTLED')""",
    ),
    Invariant(
        "what_the_bank_paid_is_recorded_once",
        "If the bank's payments were recorded with a settlement, each account of the settlement has one payment of the "
        "account's net amount. The bank statement shows this payment. No cover is on hold for the settlement.",
        """SELECT sa.settlement_id, sa.account_id, sa.net, m.kind, m.amount, p.otherwise, h.remaining
           FROM settlement_settlementaccount sa
           JOIN settlement_settlement s ON s.id = sa.settlement_id
           JOIN ledger_account a ON a.id = sa.account_id
           LEFT JOIN settlement_payment p ON p.account_id = sa.id
           LEFT JOIN settlement_statementline l ON l.id = p.line_id
           LEFT JOIN settlement_statement t ON t.id = l.statement_id
           LEFT JOIN ledger_fundsmovement m ON m.transfer_id = p.movement_id
           LEFT JOIN ledger_account held ON held.participant_id = a.participant_id AND held.currency = a.currency
                                        AND held.type = 'SETTLEMENT'
           LEFT JOIN ledger_coverhold h ON h.account_id = held.id AND h.settlement_number = s.id
           WHERE EXISTS (SELECT FROM settlement_payment q JOIN settlement_settlementaccount x ON x.id = q.account_id
                         WHERE x.settlement_id = s.id)
             AND ((sa.net <> 0) <> (p.id IS NOT NULL)
                  OR s.state <> 'SETTLED'
                  OR h.remaining > 0
                  OR (p.id IS NOT NULL AND (
                      coalesce(m.amount, 0) + p.otherwise <> abs(sa.net)
                      OR l.finding <> 'MATCHED' OR l.account_id IS DISTINCT FROM sa.id
                      OR t.settlement_id <> s.id OR NOT t.is_exact
                      OR (m.transfer_id IS NOT NULL AND (
                          m.state <> 'COMMITTED' OR m.account_id <> held.id
                          OR m.kind <> CASE WHEN sa.net > 0 THEN 'FUNDS_OUT' ELSE 'FUNDS_IN' END)))))""",
    ),
    Invariant(
        "positions_are_within_their_cover",
        "No position, including reserved amounts, is above the participant's liquidity cover. If a settlement without "
        "a liquidity check has added an amount to the position, this amount does not count.",
        f"""SELECT a.id, a.participant_id, a.currency, {position_limit.POSITION} AS used,
                  cover.cover, unchecked.amount AS unchecked
           FROM ledger_account a
           LEFT JOIN LATERAL (SELECT {position_limit.COVER} AS cover
                              FROM ledger_account s WHERE {position_limit.S_COVERS_A}) cover ON true
           LEFT JOIN LATERAL (SELECT sum(-sa.net) AS amount
                              FROM settlement_settlementaccount sa
                              JOIN settlement_settlement s ON s.id = sa.settlement_id
                              JOIN settlement_settlementmodel m ON m.id = s.model_id
                              WHERE sa.account_id = a.id AND sa.net < 0 AND m.auto_position_reset
                                AND NOT m.require_liquidity_check
                                AND sa.state IN ('PS_TRANSFERS_RESERVED', 'PS_TRANSFERS_COMMITTED', 'SETTLED')
                             ) unchecked ON true
           WHERE a.type = 'POSITION'
             AND {position_limit.POSITION} > coalesce(cover.cover, 0) + coalesce(unchecked.amount, 0)
             AND {position_limit.POSITION} > 0""",  # noqa: S608 (the rule's own words)
    ),
]
