# ruff: noqa: S608 (statements are put together from constants)
"""The invariants of the ledger as named SQL statements. Each statement must return no row. The command `manage.py
check_ledger` runs these statements.

All statements run in one read-only REPEATABLE READ transaction, so the hub can work during the check.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.db import DatabaseError, connection, transaction
from django.db.backends.utils import CursorWrapper

from hub.invariant_type import Invariant as Invariant
from hub.invariant_type import fits
from hub.sweeps import isolating_batches
from ledger import audit_trail_invariants, terms_as_sent_invariants
from ledger.fx import invariants as fx
from ledger.held_transfers import invariants as held_transfers
from ledger.rule_history import invariants as rule_history


@dataclass(frozen=True, slots=True)
class Break:
    """An invariant that is not true, with the first rows that break the invariant.

    If the hub could not check the invariant, `error` has the reason.
    """

    invariant: Invariant
    columns: list[str]
    rows: list[tuple[Any, ...]]
    error: str = ""

    def __str__(self) -> str:
        return f"{self.invariant.name} (not checked)" if self.error else self.invariant.name


MOST_ROWS = 20

# A reservation keeps its expiration if TRANSFER_MAX_VALIDITY_S is reduced later. So the check always accepts an
# expiration that is up to seven days ahead.
_LONGEST_S = max(settings.TRANSFER_MAX_VALIDITY_S, 7 * 24 * 3600)

INVARIANTS = [
    Invariant(
        "books_balance",
        "In each currency, the sum of all debits equals the sum of all credits.",
        """SELECT currency, sum(posted_debits - posted_credits) AS difference FROM ledger_account
           GROUP BY currency HAVING sum(posted_debits - posted_credits) <> 0""",
    ),
    Invariant(
        "balances_are_the_sums_of_entries",
        "Each account's stored sums equal the sums of the account's entries.",
        """SELECT a.id, a.posted_debits, coalesce(d.total, 0) AS entry_debits,
                  a.posted_credits, coalesce(c.total, 0) AS entry_credits
           FROM ledger_account a
           LEFT JOIN (SELECT debit_account_id AS id, sum(amount) AS total FROM ledger_entry GROUP BY 1) d USING (id)
           LEFT JOIN (SELECT credit_account_id AS id, sum(amount) AS total FROM ledger_entry GROUP BY 1) c USING (id)
           WHERE a.posted_debits <> coalesce(d.total, 0) OR a.posted_credits <> coalesce(c.total, 0)""",
    ),
    Invariant(
        "reservations_are_the_sums_of_reserved_transfers",
        "Each account's pending amount equals the sum of its reserved transfers, conversions and withdrawals.",
        """SELECT a.id, a.pending_debits, coalesce(t.total, 0) + coalesce(f.total, 0) + coalesce(x.total, 0) AS reserved
           FROM ledger_account a
           LEFT JOIN (SELECT payer_account_id AS id, sum(amount) AS total FROM ledger_transfer
                      WHERE state = 'RESERVED' GROUP BY 1) t USING (id)
           LEFT JOIN (SELECT account_id AS id, sum(amount) AS total FROM ledger_fundsmovement
                      WHERE state = 'RESERVED' GROUP BY 1) f USING (id)
           LEFT JOIN (SELECT debit_account_id AS id,
                             sum(CASE side WHEN 'PAYER' THEN source_amount ELSE target_amount END) AS total
                      FROM ledger_fxtransfer WHERE state IN ('RESERVED', 'AGREED') GROUP BY 1) x USING (id)
           WHERE a.pending_debits <> coalesce(t.total, 0) + coalesce(f.total, 0) + coalesce(x.total, 0)""",
    ),
    Invariant(
        "liquidity_is_never_negative",
        "No SETTLEMENT account has paid out more than the account received.",
        """SELECT id, posted_credits, posted_debits, pending_debits FROM ledger_account
           WHERE type = 'SETTLEMENT' AND posted_credits < posted_debits + pending_debits""",
    ),
    Invariant(
        "every_commit_has_its_entry",
        "A transfer is COMMITTED if and only if one entry with the transfer's amount, accounts and currency is posted. "
        "If the payee converts, this entry credits the FXP.",
        """SELECT coalesce(t.transfer_id, e.transfer_id) AS transfer_id, t.state, t.amount, e.amount AS posted
           FROM (SELECT t.*, coalesce(f.bridge_account_id, t.payee_account_id) AS credit_account_id
                 FROM ledger_transfer t
                 LEFT JOIN ledger_fxtransfer f ON f.commit_request_id = t.payee_conversion_id AND f.state = 'COMMITTED'
                 WHERE t.state = 'COMMITTED') t
           FULL JOIN (SELECT * FROM ledger_entry WHERE kind = 'TRANSFER') e ON e.transfer_id = t.transfer_id
           WHERE t.transfer_id IS NULL OR e.transfer_id IS NULL OR t.amount <> e.amount OR t.currency <> e.currency
              OR t.payer_account_id <> e.debit_account_id OR t.credit_account_id <> e.credit_account_id""",
    ),
    Invariant(
        "every_movement_of_funds_has_its_entry",
        "A movement of funds is COMMITTED if and only if its entry is posted.",
        """SELECT coalesce(m.transfer_id, e.transfer_id) AS transfer_id, m.amount, e.amount AS posted
           FROM (SELECT * FROM ledger_fundsmovement WHERE state = 'COMMITTED') m
           FULL JOIN (SELECT * FROM ledger_entry WHERE kind IN ('FUNDS_IN', 'FUNDS_OUT')) e
             ON e.transfer_id = m.transfer_id
           WHERE m.transfer_id IS NULL OR e.transfer_id IS NULL OR m.amount <> e.amount OR m.kind <> e.kind""",
    ),
    Invariant(
        "history_leads_to_the_state",
        "A transfer's history contains the present state exactly once. If an amount was reserved, the history begins "
        "with the reservation.",
        """SELECT t.transfer_id, t.state, h.states
           FROM ledger_transfer t
           LEFT JOIN (SELECT transfer_id, array_agg(state::text ORDER BY id) AS states
                      FROM ledger_transferevent GROUP BY 1) h USING (transfer_id)
           WHERE h.states IS DISTINCT FROM
                 CASE WHEN t.payer_account_id IS NULL THEN ARRAY['ABORTED']
                      WHEN t.state = 'RESERVED' THEN ARRAY['RESERVED']
                      ELSE ARRAY['RESERVED', t.state::text] END""",
    ),
    Invariant(
        "nothing_stays_reserved",
        "No transfer is still reserved more than ten seconds after its expiration.",
        """SELECT transfer_id, expires_at FROM ledger_transfer
           WHERE state = 'RESERVED' AND expires_at < clock_timestamp() - interval '10 seconds'""",
    ),
    Invariant(
        "nothing_committed_late",
        "No transfer was committed at or after its expiration.",
        """SELECT transfer_id, expires_at, completed_at FROM ledger_transfer
           WHERE state = 'COMMITTED' AND completed_at >= expires_at""",
    ),
    Invariant(
        "every_commit_is_in_one_window",
        "Each entry of a transfer is in a settlement window that was still open at the time of the entry.",
        """SELECT e.id, e.transfer_id, e.window_id, w.last_entry_id
           FROM ledger_entry e LEFT JOIN ledger_settlementwindow w ON w.id = e.window_id
           WHERE e.kind IN ('TRANSFER', 'FX_TRANSFER') AND (w.id IS NULL OR e.id > w.last_entry_id)""",
    ),
    Invariant(
        "one_window_is_open",
        "Exactly one settlement window is open.",
        """SELECT count(*) AS open_windows FROM ledger_settlementwindow
           WHERE state = 'OPEN' HAVING count(*) <> 1""",
    ),
    Invariant(
        "everyone_is_told",
        "For each reserved transfer, unless the transfer was held and never released, a message to the payee was sent "
        "or is queued. For each ended transfer, a message to the payer was sent or is queued.",
        """WITH told AS (SELECT subject, destination_id, kind FROM outbox_message
                         UNION ALL SELECT subject, destination_id, kind FROM outbox_delivery)
           SELECT t.transfer_id, t.state, 'payee has no prepare' AS fault FROM ledger_transfer t
           WHERE t.bulk_id IS NULL AND t.payer_account_id IS NOT NULL AND NOT EXISTS
                 (SELECT FROM told WHERE subject = t.transfer_id AND kind = 'prepare' AND destination_id = t.payee_id)
             AND NOT EXISTS (SELECT FROM ledger_heldtransfer h
                             WHERE h.transfer_id = t.transfer_id AND h.state <> 'RELEASED')
           UNION ALL
           SELECT t.transfer_id, t.state, 'payer has no end' FROM ledger_transfer t
           WHERE t.bulk_id IS NULL AND t.state <> 'RESERVED' AND NOT EXISTS
                 (SELECT FROM told WHERE subject = t.transfer_id AND kind = 'end-to-payer'
                                     AND destination_id = t.payer_id)
           UNION ALL
           SELECT t.transfer_id, t.state, 'payee that waits has no end' FROM ledger_transfer t
           WHERE t.state <> 'RESERVED' AND t.wants_patch AND NOT EXISTS
                 (SELECT FROM told WHERE subject = t.transfer_id AND kind = 'end-to-payee'
                                     AND destination_id = t.payee_id)""",
    ),
    Invariant(
        "nobody_is_told_what_did_not_happen",
        "Each message that reports a transfer's end belongs to an ended transfer. Each forwarded transfer was "
        "reserved.",
        """WITH told AS (SELECT id, subject, kind FROM outbox_message
                         UNION ALL SELECT message_id, subject, kind FROM outbox_delivery)
           SELECT told.id, told.subject, told.kind, t.state
           FROM told LEFT JOIN ledger_transfer t ON t.transfer_id = told.subject
           WHERE (told.kind IN ('end-to-payer', 'end-to-payee') AND (t.state IS NULL OR t.state = 'RESERVED'))
              OR (told.kind = 'prepare' AND (t.transfer_id IS NULL OR t.payer_account_id IS NULL))
              OR (told.kind IN ('prepare', 'end-to-payee')
                  AND EXISTS (SELECT FROM ledger_heldtransfer h
                              WHERE h.transfer_id = told.subject AND h.state <> 'RELEASED'))""",
    ),
    Invariant(
        "every_item_of_a_bulk_has_its_outcome",
        "Each item of a bulk is stored as a transfer, or was refused because its id was used before. The bulk's row "
        "contains the number of reserved items.",
        """SELECT b.bulk_transfer_id, b.item_count, b.reserved_items, i.items, i.reserved
           FROM ledger_bulktransfer b
           LEFT JOIN (SELECT bulk_id AS bulk_transfer_id, count(*) AS items, count(payer_account_id) AS reserved
                      FROM ledger_transfer WHERE bulk_id IS NOT NULL GROUP BY 1) i USING (bulk_transfer_id)
           WHERE b.item_count <> coalesce(i.items, 0) + cardinality(b.ids_used_before)
              OR b.reserved_items <> coalesce(i.reserved, 0)""",
    ),
    Invariant(
        "items_end_with_their_bulk",
        "A bulk's reserved items stay reserved until the bulk ends, and no longer. A rejected bulk has moved no money.",
        """SELECT b.bulk_transfer_id, b.state AS bulk, t.transfer_id, t.state
           FROM ledger_bulktransfer b JOIN ledger_transfer t ON t.bulk_id = b.bulk_transfer_id
           WHERE (t.payer_account_id IS NOT NULL AND (b.state = 'ACCEPTED') <> (t.state = 'RESERVED'))
              OR (b.state = 'REJECTED' AND t.state = 'COMMITTED')""",
    ),
    Invariant(
        "items_have_the_terms_of_their_bulk",
        "An item of a bulk has the same payer, payee and expiration as the bulk.",
        """SELECT b.bulk_transfer_id, t.transfer_id
           FROM ledger_transfer t LEFT JOIN ledger_bulktransfer b ON b.bulk_transfer_id = t.bulk_id
           WHERE t.bulk_id IS NOT NULL
             AND (t.payer_id, t.payee_id, t.payee_name, t.expires_at)
                 IS DISTINCT FROM (b.payer_id, b.payee_id, b.payee_name, b.expires_at)""",
    ),
    Invariant(
        "everyone_is_told_of_a_bulk",
        "The hub has sent a bulk's reserved items to the payee. The hub has reported the bulk's end to the payer, and "
        "to a payee that did not reject the bulk.",
        """WITH told AS (SELECT subject, destination_id, kind FROM outbox_message WHERE kind LIKE 'bulk-%'
                         UNION ALL SELECT subject, destination_id, kind FROM outbox_delivery WHERE kind LIKE 'bulk-%')
           SELECT b.bulk_transfer_id, b.state, due.kind AS untold
           FROM ledger_bulktransfer b
           CROSS JOIN LATERAL (VALUES
               ('bulk-prepare', b.payee_id, b.reserved_items > 0),
               ('bulk-end-to-payer', b.payer_id, b.state <> 'ACCEPTED'),
               ('bulk-end-to-payee', b.payee_id,
                b.reserved_items > 0 AND b.state <> 'ACCEPTED' AND b.reason IS DISTINCT FROM 'REJECTED_BY_PAYEE')
           ) AS due (kind, participant_id, is_due)
           WHERE due.is_due AND NOT EXISTS (SELECT FROM told WHERE subject = b.bulk_transfer_id
                                            AND kind = due.kind AND destination_id = due.participant_id)""",
    ),
    Invariant(
        "nobody_is_told_of_a_bulk_what_did_not_happen",
        "Each message that reports a bulk's end belongs to an ended bulk. Each bulk that was sent to a payee has "
        "reserved items.",
        """WITH told AS (SELECT id, subject, kind FROM outbox_message WHERE kind LIKE 'bulk-%'
                         UNION ALL SELECT message_id, subject, kind FROM outbox_delivery WHERE kind LIKE 'bulk-%')
           SELECT told.id, told.subject, told.kind, b.state
           FROM told LEFT JOIN ledger_bulktransfer b ON b.bulk_transfer_id = told.subject
           WHERE (told.kind LIKE 'bulk-end-%' AND coalesce(b.state, 'ACCEPTED') = 'ACCEPTED')
              OR (told.kind = 'bulk-prepare' AND coalesce(b.reserved_items, 0) = 0)""",
    ),
    Invariant(
        "accounts_are_those_of_the_parties",
        "A transfer's accounts are POSITION accounts in the transfer's currency. One account is the payee's. The other "
        "account is the payer's, or belongs to the FXP that converts for the payer.",
        """SELECT t.transfer_id, t.payer_account_id, payer.participant_id AS payer_owner, t.payee_account_id,
                  payee.participant_id AS payee_owner
           FROM ledger_transfer t
           LEFT JOIN ledger_fxtransfer f ON f.commit_request_id = t.payer_conversion_id
           LEFT JOIN ledger_account payer ON payer.id = t.payer_account_id
           LEFT JOIN ledger_account payee ON payee.id = t.payee_account_id
           WHERE t.payer_account_id IS NOT NULL
             AND ((payer.participant_id, payer.type, payer.currency)
                  IS DISTINCT FROM (coalesce(f.fxp_id, t.payer_id), 'POSITION', t.currency)
                  OR (payee.participant_id, payee.type, payee.currency)
                  IS DISTINCT FROM (t.payee_id, 'POSITION', t.currency))""",
    ),
    Invariant(
        "participants_are_those_that_are_named",
        "The payee of a reserved transfer is the participant whose name is the transfer's payee name.",
        """SELECT t.transfer_id, t.payee_id, t.payee_name FROM ledger_transfer t
           LEFT JOIN participants_participant p ON p.id = t.payee_id
           WHERE t.payee_id IS NOT NULL AND p.name IS DISTINCT FROM t.payee_name""",
    ),
    Invariant(
        "fulfilments_fit_their_conditions",
        "The SHA-256 of each committed transfer's fulfilment is the transfer's condition.",
        f"""SELECT transfer_id, condition, fulfilment FROM ledger_transfer
            WHERE state = 'COMMITTED' AND ({fits("fulfilment", "condition")}) IS NOT TRUE""",
    ),
    Invariant(
        "funds_are_posted_between_their_accounts",
        "Funds in move from the hub's reconciliation account to a SETTLEMENT account. Funds out move "
        "in the opposite direction.",
        """SELECT e.transfer_id, m.account_id, e.kind, e.debit_account_id, e.credit_account_id
           FROM ledger_fundsmovement m
           JOIN ledger_account a ON a.id = m.account_id
           JOIN ledger_entry e ON e.transfer_id = m.transfer_id AND e.kind IN ('FUNDS_IN', 'FUNDS_OUT')
           LEFT JOIN ledger_account hub ON hub.type = 'HUB_RECONCILIATION' AND hub.currency = a.currency
           WHERE a.type <> 'SETTLEMENT'
              OR (e.debit_account_id, e.credit_account_id) IS DISTINCT FROM
                 CASE e.kind WHEN 'FUNDS_IN' THEN (hub.id, m.account_id) ELSE (m.account_id, hub.id) END""",
    ),
    Invariant(
        "what_is_on_hold_is_what_is_still_owed",
        "A hold is the owed amount minus the payments for the settlement. A hold that two people have released is "
        "zero, and the audit trail has an entry about the release. An account's amount on hold is the sum of the "
        "account's holds.",
        """SELECT h.account_id, h.settlement_number, h.remaining, h.amount, t.taken
           FROM ledger_coverhold h
           JOIN ledger_account a ON a.id = h.account_id
           JOIN participants_participant p ON p.id = a.participant_id
           LEFT JOIN (SELECT hold_id, sum(from_hold) AS taken FROM ledger_fundsmovement
                      WHERE hold_id IS NOT NULL AND state <> 'ABORTED' GROUP BY 1) t ON t.hold_id = h.id
           WHERE h.remaining <> CASE WHEN h.released_at IS NULL
                                     THEN h.amount - h.paid_before - coalesce(t.taken, 0) ELSE 0 END
              OR (h.released_at IS NOT NULL) <> EXISTS
                 (SELECT FROM audit_entry e WHERE e.action = 'hold_released' AND e.subject = p.name
                    AND e.after ->> 'settlement' = h.settlement_number::text AND e.after ->> 'currency' = a.currency)
           UNION ALL
           SELECT a.id, NULL, a.on_hold, h.total, NULL FROM ledger_account a
           LEFT JOIN (SELECT account_id, sum(remaining) AS total FROM ledger_coverhold GROUP BY 1) h
             ON h.account_id = a.id
           WHERE a.on_hold <> coalesce(h.total, 0)
           UNION ALL
           SELECT m.account_id, NULL, NULL, NULL, m.from_hold FROM ledger_fundsmovement m
           LEFT JOIN ledger_coverhold h ON h.id = m.hold_id
           WHERE m.hold_id IS NOT NULL AND h.account_id IS DISTINCT FROM m.account_id""",
    ),
    Invariant(
        "nothing_is_reserved_for_too_long",
        "No transfer or conversion is reserved for longer than the scheme allows.",
        f"""SELECT transfer_id, expires_at FROM ledger_transfer
            WHERE state = 'RESERVED' AND expires_at > clock_timestamp() + interval '{_LONGEST_S} seconds'
            UNION ALL
            SELECT commit_request_id, held_until FROM ledger_fxtransfer
            WHERE state IN ('RESERVED', 'AGREED')
              AND held_until > clock_timestamp() + interval '{_LONGEST_S + settings.FX_TRANSFER_WAIT_S} seconds'""",
    ),
    Invariant(
        "windows_follow_one_another",
        "No entry of a window is older than the end of an earlier window.",
        """SELECT later.window_id, later.first_entry_id, w.id AS earlier_window_id, w.last_entry_id
           FROM (SELECT window_id, min(id) AS first_entry_id FROM ledger_entry
                 WHERE window_id IS NOT NULL GROUP BY 1) later
           JOIN LATERAL (SELECT id, last_entry_id FROM ledger_settlementwindow
                         WHERE id < later.window_id AND state <> 'OPEN'
                         ORDER BY last_entry_id DESC LIMIT 1) w ON true
           WHERE w.last_entry_id >= later.first_entry_id""",
    ),
    *terms_as_sent_invariants.INVARIANTS,
    *audit_trail_invariants.INVARIANTS,
    *fx.INVARIANTS,
    *rule_history.INVARIANTS,
    *held_transfers.INVARIANTS,
]


def register(invariants: Iterable[Invariant]) -> None:
    """Adds the invariants of an app that depends on the ledger. If these invariants are already added, the function
    adds nothing."""
    known = {invariant.name for invariant in INVARIANTS}
    INVARIANTS.extend(invariant for invariant in invariants if invariant.name not in known)


def find_breaks() -> list[Break]:
    """Returns the invariants that are not true now or that could not be checked.

    An empty list means that the ledger is sound.
    """
    with transaction.atomic(durable=True), connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        cursor.execute("SET LOCAL statement_timeout = 0")
        return breaks_seen_by(cursor)


def breaks_seen_by(cursor: CursorWrapper) -> list[Break]:
    """Checks the rows that this cursor's transaction sees, and returns the broken invariants."""
    breaks = []
    for invariant in INVARIANTS:
        try:
            with transaction.atomic():  # a savepoint, so that a failing statement does not stop the next statements
                cursor.execute(invariant.broken_rows)
                rows = cursor.fetchmany(MOST_ROWS)
        except DatabaseError as error:
            if isolating_batches.is_about_all(error):
                raise
            breaks.append(Break(invariant, [], [], isolating_batches.why(error)))
            continue
        if rows:
            breaks.append(Break(invariant, [column.name for column in cursor.description], rows))
    return breaks
