"""The invariants of held transfers."""

from hub.invariant_type import Invariant

INVARIANTS = [
    Invariant(
        "what_is_held_is_reserved",
        "Each held transfer is reserved and belongs to no bulk. Each transfer whose hold ended without a release is "
        "aborted.",
        """SELECT h.transfer_id, h.state AS hold, t.state, t.bulk_id
           FROM ledger_heldtransfer h JOIN ledger_transfer t USING (transfer_id)
           WHERE t.payer_account_id IS NULL OR t.bulk_id IS NOT NULL
              OR (h.state = 'HELD' AND t.state <> 'RESERVED')
              OR (h.state IN ('REFUSED', 'ENDED') AND t.state <> 'ABORTED')""",
    ),
    Invariant(
        "nothing_is_held_too_long",
        "No transfer is held more than ten seconds after the end of its hold, or after a refusal of the transfer.",
        """SELECT h.transfer_id, h.until, t.expires_at
           FROM ledger_heldtransfer h JOIN ledger_transfer t USING (transfer_id)
           WHERE h.state = 'HELD' AND least(h.until, t.expires_at) < clock_timestamp() - interval '10 seconds'""",
    ),
    Invariant(
        "people_who_decide_about_a_held_transfer_are_in_the_audit_trail",
        "Each release and refusal by people has an audit entry.",
        """SELECT h.transfer_id, h.state, h.actor FROM ledger_heldtransfer h
           WHERE h.actor <> '' AND NOT EXISTS
                 (SELECT FROM audit_entry e WHERE e.subject = h.transfer_id AND e.actor = h.actor
                    AND e.action = CASE WHEN h.refusal_code IS NULL THEN 'held_transfer_released'
                                        ELSE 'held_transfer_refused' END)""",
    ),
]
