"""The corruptions of a ledger that `check_ledger` finds (I28).

The test fills one ledger with every kind of row. It then corrupts the ledger in one way after another, with triggers
and foreign keys off, and reverts each corruption. MISSED lists the corruptions that no invariant finds. The reasons are
in docs/operators.md.
"""

import uuid
from dataclasses import dataclass
from pathlib import Path

import pytest
from django.db import connection, transaction

from hub.audit import trail
from hub.participants import credentials
from hub.participants.models import Participant
from ledger import accounts_and_funds, invariants
from settlement import gross_settlement, services
from settlement.models import Settlement
from settlement.services import bank_payments
from settlement.states import State
from tests.bulks import bulk_fulfil, bulk_prepare, run_bulk
from tests.fx_world import agreed, open_scheme
from tests.portal.test_requests_checked_when_made import take_in
from tests.proofs import key_of, public_pem
from tests.settlement.operator_steps import add_model, close, pay, settle, settle_all
from tests.settlement.test_gross_settlement import GROSS
from tests.world import World, amount, fulfil, prepare, reject, run


@dataclass(frozen=True)
class Corruption:
    """What somebody did to the tables, and the invariant that breaks by it; "" for the audit trail's own chain."""

    name: str
    found_by: str
    statement: str


def _of(name: str, account_type: str = "POSITION", currency: str = "TZS") -> str:
    return f"""(SELECT a.id FROM ledger_account a JOIN participants_participant p ON p.id = a.participant_id
                WHERE p.name = '{name}' AND a.type = '{account_type}' AND a.currency = '{currency}')"""


def _in_state(state: str, more: str = "") -> str:
    return f"(SELECT min(transfer_id) FROM ledger_transfer WHERE state = '{state}' AND bulk_id IS NULL {more})"


def _id(name: str) -> str:
    return f"(SELECT id FROM participants_participant WHERE name = '{name}')"


_GREEN, _BLUE, _RED, _GREY = (_id(name) for name in ("green", "blue", "red", "grey"))
_COMMITTED = "'9b1ff5a0-5f0c-4d39-8f28-0c9a3d1b7f01'"  # 100 from green to blue, in the open window
_SETTLED_PAYMENT = "'9b1ff5a0-5f0c-4d39-8f28-0c9a3d1b7f02'"  # and in one that is settled
_RESERVED = _in_state("RESERVED")
_ENTRY = f"(SELECT id FROM ledger_entry WHERE kind = 'TRANSFER' AND transfer_id = {_COMMITTED})"
_SETTLED_ENTRY = f"(SELECT id FROM ledger_entry WHERE kind = 'TRANSFER' AND transfer_id = {_SETTLED_PAYMENT})"
_FUNDS_IN = f"""(SELECT min(m.transfer_id) FROM ledger_fundsmovement m WHERE m.kind = 'FUNDS_IN'
                 AND m.account_id = {_of("green", "SETTLEMENT")})"""
_SETTLED = "(SELECT min(id) FROM ledger_settlementwindow WHERE state = 'SETTLED')"
_WITHDRAWN = """(SELECT transfer_id FROM ledger_fundsmovement
                 WHERE kind = 'FUNDS_OUT' AND state = '{}' AND hold_id IS NULL)"""
_HUB_NET = _of("Hub", "HUB_MULTILATERAL_SETTLEMENT")
_HUB_FUNDS = _of("Hub", "HUB_RECONCILIATION")


def _posted(account: str, column: str, by: str) -> str:
    return f"UPDATE ledger_account SET posted_{column} = posted_{column} + ({by}) WHERE id = {account};"


def _forged_entry(kind: str, debit: str, credit: str, transfer: str, window: str = "NULL") -> str:
    """An entry of one unit, with the sums of its accounts."""
    return f"""INSERT INTO ledger_entry
                   (kind, debit_account_id, credit_account_id, currency, amount, transfer_id, window_id)
               VALUES ('{kind}', {debit}, {credit}, 'TZS', 10000, {transfer}, {window});
               {_posted(debit, "debits", "10000")} {_posted(credit, "credits", "10000")}"""


CORRUPTIONS = [
    # sums and accounts
    Corruption("an account has more debits", "books_balance", _posted(_of("green"), "debits", "1")),
    Corruption(
        "a cover grows out of another's position",
        "balances_are_the_sums_of_entries",
        _posted(_of("green", "SETTLEMENT"), "credits", "10000") + _posted(_of("blue"), "debits", "10000"),
    ),
    Corruption(
        "a position holds more than what is reserved",
        "reservations_are_the_sums_of_reserved_transfers",
        f"UPDATE ledger_account SET pending_debits = pending_debits + 10000 WHERE id = {_of('blue')}",
    ),
    Corruption(
        "a withdrawal is no longer held",
        "reservations_are_the_sums_of_reserved_transfers",
        f"UPDATE ledger_account SET pending_debits = 0 WHERE id = {_of('green', 'SETTLEMENT')}",
    ),
    Corruption(
        "two positions change their owners",
        "accounts_are_those_of_the_parties",
        f"""UPDATE ledger_account SET participant_id = -1 WHERE id = {_of("green")};
            UPDATE ledger_account SET participant_id = {_GREEN} WHERE id = {_of("red")};
            UPDATE ledger_account SET participant_id = {_RED} WHERE participant_id = -1""",
    ),
    Corruption(
        "what one DFSP holds becomes another's that never paid",
        "every_movement_of_funds_is_in_the_audit_trail",
        f"""UPDATE ledger_account SET participant_id = -1 WHERE id = {_of("grey", "SETTLEMENT")};
            UPDATE ledger_account SET participant_id = {_GREY} WHERE id = {_of("red", "SETTLEMENT")};
            UPDATE ledger_account SET participant_id = {_RED} WHERE participant_id = -1""",
    ),
    Corruption(
        "an account is of another type",
        "accounts_are_those_of_the_parties",
        f"UPDATE ledger_account SET type = 'INTERCHANGE_FEE' WHERE id = {_of('green')}",
    ),
    Corruption(
        "a cap is raised by nobody",
        "every_cap_is_in_the_audit_trail",
        f"UPDATE ledger_account SET net_debit_cap = net_debit_cap * 10 WHERE id = {_of('green')}",
    ),
    Corruption(
        "an alarm is put off by nobody",
        "every_cap_is_in_the_audit_trail",
        f"UPDATE ledger_account SET alarm_percentage = 0 WHERE id = {_of('green')}",
    ),
    Corruption(
        "a cap's trail is removed",
        "every_cap_is_in_the_audit_trail",
        "DELETE FROM audit_entry WHERE action = 'ndc_changed' AND subject = 'green'",
    ),
    Corruption(
        "a position is above its cover",
        "positions_are_within_their_cover",
        f"""INSERT INTO ledger_fundsmovement (transfer_id, account_id, kind, amount, state, reason, external_reference,
                                              completed_at)
            SELECT 'forged', id, 'FUNDS_OUT', posted_credits - posted_debits - pending_debits, 'COMMITTED', '', '',
                   now()
            FROM ledger_account WHERE id = {_of("green", "SETTLEMENT")};
            INSERT INTO ledger_entry (kind, debit_account_id, credit_account_id, currency, amount, transfer_id)
            SELECT 'FUNDS_OUT', account_id, {_HUB_FUNDS}, 'TZS', amount, 'forged' FROM ledger_fundsmovement
            WHERE transfer_id = 'forged';
            UPDATE ledger_account SET posted_credits = posted_credits
                + (SELECT amount FROM ledger_fundsmovement WHERE transfer_id = 'forged') WHERE id = {_HUB_FUNDS};
            UPDATE ledger_account SET posted_debits = posted_credits - pending_debits
            WHERE id = {_of("green", "SETTLEMENT")}""",
    ),
    # transfers
    Corruption(
        "a transfer is of another amount than its entry",
        "every_commit_has_its_entry",
        f"UPDATE ledger_transfer SET amount = amount + 10000 WHERE transfer_id = {_COMMITTED}",
    ),
    Corruption(
        "a transfer, its entry and the sums are of another amount than what was sent",
        "transfers_are_what_was_sent",
        f"""UPDATE ledger_transfer SET amount = amount + 10000 WHERE transfer_id = {_COMMITTED};
            UPDATE ledger_entry SET amount = amount + 10000 WHERE transfer_id = {_COMMITTED};
            {_posted(_of("green"), "debits", "10000")} {_posted(_of("blue"), "credits", "10000")}""",
    ),
    Corruption(
        "a transfer is paid to another DFSP than it was sent to",
        "transfers_are_what_was_sent",
        f"""UPDATE ledger_transfer SET payee_id = {_RED}, payee_name = 'red', payee_account_id = {_of("red")}
            WHERE transfer_id = {_COMMITTED};
            UPDATE ledger_entry SET credit_account_id = {_of("red")} WHERE transfer_id = {_COMMITTED};
            {_posted(_of("blue"), "credits", "-1000000")} {_posted(_of("red"), "credits", "1000000")}""",
    ),
    Corruption(
        "a transfer is paid by another DFSP than sent it",
        "transfers_are_what_was_sent",
        f"""UPDATE ledger_transfer SET payer_id = {_RED}, payer_account_id = {_of("red")}
            WHERE transfer_id = {_COMMITTED};
            UPDATE ledger_entry SET debit_account_id = {_of("red")} WHERE transfer_id = {_COMMITTED};
            {_posted(_of("green"), "debits", "-1000000")} {_posted(_of("red"), "debits", "1000000")}""",
    ),
    Corruption(
        "a transfer is posted to the account of one who is not its payee",
        "accounts_are_those_of_the_parties",
        f"""UPDATE ledger_transfer SET payee_account_id = {_of("red")} WHERE transfer_id = {_COMMITTED};
            UPDATE ledger_entry SET credit_account_id = {_of("red")} WHERE transfer_id = {_COMMITTED};
            {_posted(_of("blue"), "credits", "-1000000")} {_posted(_of("red"), "credits", "1000000")}""",
    ),
    Corruption(
        "a fulfilment is another",
        "fulfilments_fit_their_conditions",
        f"UPDATE ledger_transfer SET fulfilment = repeat('A', 43) WHERE transfer_id = {_COMMITTED}",
    ),
    Corruption(
        "a fulfilment is none that can be read",
        "fulfilments_fit_their_conditions",
        f"UPDATE ledger_transfer SET fulfilment = '%' WHERE transfer_id = {_COMMITTED}",
    ),
    Corruption(
        "a condition and its fulfilment are others",
        "transfers_are_what_was_sent",
        f"""UPDATE ledger_transfer SET fulfilment = repeat('A', 43), condition = rtrim(translate(encode(sha256(
                decode(repeat('0', 64), 'hex')), 'base64'), '+/', '-_'), '=') WHERE transfer_id = {_COMMITTED}""",
    ),
    Corruption(
        "a conversion's fulfilment is another",
        "conversions_fulfilments_fit_their_conditions",
        "UPDATE ledger_fxtransfer SET fulfilment = repeat('A', 43) WHERE state = 'COMMITTED'",
    ),
    Corruption(
        "a committed transfer is aborted",
        "every_commit_has_its_entry",
        f"""UPDATE ledger_transfer SET state = 'ABORTED', reason = 'EXPIRED', error_code = '3303'
            WHERE transfer_id = {_COMMITTED}""",
    ),
    Corruption(
        "an aborted transfer is committed",
        "every_commit_has_its_entry",
        f"""UPDATE ledger_transfer SET state = 'COMMITTED', fulfilment = repeat('A', 43), fulfil_digest = 'x'
            WHERE transfer_id = {_in_state("ABORTED", "AND payer_account_id IS NOT NULL")}""",
    ),
    Corruption(
        "a reservation ends without a trace",
        "history_leads_to_the_state",
        f"""UPDATE ledger_transfer SET state = 'ABORTED', reason = 'EXPIRED', error_code = '3303', completed_at = now()
            WHERE transfer_id = {_RESERVED};
            UPDATE ledger_account SET pending_debits = pending_debits - 30000 WHERE id = {_of("green")}""",
    ),
    Corruption(
        "a reservation is held for years",
        "nothing_is_reserved_for_too_long",
        f"UPDATE ledger_transfer SET expires_at = '2099-01-01' WHERE transfer_id = {_RESERVED}",
    ),
    Corruption(
        "a conversion is held for years",
        "nothing_is_reserved_for_too_long",
        "UPDATE ledger_fxtransfer SET held_until = '2099-01-01', expires_at = '2099-01-01' WHERE state = 'AGREED'",
    ),
    Corruption(
        "a reservation outlives its time",
        "nothing_stays_reserved",
        f"UPDATE ledger_transfer SET expires_at = now() - interval '1 hour' WHERE transfer_id = {_RESERVED}",
    ),
    Corruption(
        "an answer to a payee is no longer due",
        "everyone_is_told",
        f"UPDATE ledger_transfer SET wants_patch = true WHERE transfer_id = {_COMMITTED}",
    ),
    Corruption(
        "a transfer is removed with its entry and history",
        "nobody_is_told_what_did_not_happen",
        f"""UPDATE ledger_account SET posted_debits = posted_debits - 1000000 WHERE id = {_of("green")};
            UPDATE ledger_account SET posted_credits = posted_credits - 1000000 WHERE id = {_of("blue")};
            DELETE FROM ledger_transferevent WHERE transfer_id = {_COMMITTED};
            DELETE FROM ledger_entry WHERE transfer_id = {_COMMITTED};
            DELETE FROM ledger_transfer WHERE transfer_id = {_COMMITTED}""",
    ),
    # messages and history
    Corruption(
        "a history is gone",
        "history_leads_to_the_state",
        f"DELETE FROM ledger_transferevent WHERE transfer_id = {_COMMITTED}",
    ),
    Corruption(
        "a stored message is another",
        "transfers_are_what_was_sent",
        f"""UPDATE ledger_transferevent SET body = '{{"amount":{{"amount":"1","currency":"TZS"}}}}'
            WHERE state = 'RESERVED' AND transfer_id = {_COMMITTED}""",
    ),
    Corruption(
        "a stored message cannot be read",
        "transfers_are_what_was_sent",
        f"UPDATE ledger_transferevent SET body = '\\xff00' WHERE state = 'RESERVED' AND transfer_id = {_COMMITTED}",
    ),
    Corruption(
        "a stored message is removed",
        "transfers_are_what_was_sent",
        f"UPDATE ledger_transferevent SET body = NULL WHERE state = 'RESERVED' AND transfer_id = {_COMMITTED}",
    ),
    Corruption(
        "a bulk's stored message says another amount",
        "items_are_what_was_sent",
        """UPDATE ledger_bulktransfer SET request =
               convert_to(replace(convert_from(request, 'UTF8'), '"amount":"2"', '"amount":"3"'), 'UTF8')""",
    ),
    Corruption(
        "a bulk is of more items",
        "every_item_of_a_bulk_has_its_outcome",
        "UPDATE ledger_bulktransfer SET item_count = item_count + 1",
    ),
    Corruption(
        "an item is taken out of its bulk",
        "every_item_of_a_bulk_has_its_outcome",
        "UPDATE ledger_transfer SET bulk_id = NULL WHERE bulk_id IS NOT NULL",
    ),
    Corruption(
        "a conversion's stored message says another amount",
        "conversions_are_what_was_sent",
        """UPDATE ledger_fxtransferevent SET body =
               convert_to(replace(convert_from(body, 'UTF8'), '"amount": "5"', '"amount": "6"'), 'UTF8')
           WHERE body IS NOT NULL""",
    ),
    Corruption(
        "a conversion is for another's account",
        "a_conversion_is_between_its_parties",
        f"""UPDATE ledger_fxtransfer SET debit_account_id = {_of("red")} WHERE state = 'COMMITTED';
            UPDATE ledger_entry SET debit_account_id = {_of("red")} WHERE kind = 'FX_TRANSFER';
            {_posted(_of("green"), "debits", "-1000000")} {_posted(_of("red"), "debits", "1000000")}""",
    ),
    # entries
    Corruption(
        "an entry is of another amount",
        "every_commit_has_its_entry",
        f"UPDATE ledger_entry SET amount = amount + 10000 WHERE id = {_ENTRY}",
    ),
    Corruption("an entry is gone", "every_commit_has_its_entry", f"DELETE FROM ledger_entry WHERE id = {_ENTRY}"),
    Corruption(
        "an entry of no transfer",
        "every_commit_has_its_entry",
        _forged_entry(
            "TRANSFER",
            _of("green"),
            _of("blue"),
            "'forged'",
            "(SELECT id FROM ledger_settlementwindow WHERE state = 'OPEN')",
        ),
    ),
    Corruption(
        "an entry moves to another window",
        "totals_are_the_sums_of_entries",
        f"""UPDATE ledger_entry SET window_id = (SELECT id FROM ledger_settlementwindow WHERE state = 'OPEN')
            WHERE id = {_SETTLED_ENTRY}""",
    ),
    Corruption(
        "an entry joins a window that was closed",
        "every_commit_is_in_one_window",
        f"""UPDATE ledger_entry SET window_id = {_SETTLED}
            WHERE id = (SELECT max(id) FROM ledger_entry WHERE kind = 'TRANSFER')""",
    ),
    Corruption(
        "the funds that came in are posted the wrong way",
        "funds_are_posted_between_their_accounts",
        f"""UPDATE ledger_entry SET debit_account_id = credit_account_id, credit_account_id = debit_account_id
            WHERE kind = 'FUNDS_IN' AND transfer_id = {_FUNDS_IN};
            {_posted(_HUB_FUNDS, "debits", "-50000000")} {_posted(_HUB_FUNDS, "credits", "50000000")}
            {_posted(_of("green", "SETTLEMENT"), "credits", "-50000000")}
            {_posted(_of("green", "SETTLEMENT"), "debits", "50000000")}""",
    ),
    Corruption(
        "the funds of one are posted to another",
        "funds_are_posted_between_their_accounts",
        f"""UPDATE ledger_entry SET credit_account_id = {_of("red", "SETTLEMENT")} WHERE transfer_id = {_FUNDS_IN};
            {_posted(_of("green", "SETTLEMENT"), "credits", "-50000000")}
            {_posted(_of("red", "SETTLEMENT"), "credits", "50000000")}""",
    ),
    Corruption(
        "funds come from another DFSP's position",
        "funds_are_posted_between_their_accounts",
        f"""UPDATE ledger_entry SET debit_account_id = {_of("red")} WHERE transfer_id = {_FUNDS_IN};
            {_posted(_HUB_FUNDS, "debits", "-50000000")} {_posted(_of("red"), "debits", "50000000")}""",
    ),
    Corruption(
        "a position is reset by no settlement",
        "a_settlement_is_posted_as_far_as_it_is",
        _forged_entry("NET_SENDER", _HUB_NET, _of("green"), "'forged'"),
    ),
    Corruption(
        "a net sender's position is reset at another DFSP's cost",
        "a_settlement_is_posted_against_the_hubs_account",
        f"""UPDATE ledger_entry SET debit_account_id = {_of("red")} WHERE kind = 'NET_SENDER'
                AND credit_account_id = {_of("green")};
            {_posted(_HUB_NET, "debits", "-2000000")} {_posted(_of("red"), "debits", "2000000")}""",
    ),
    Corruption(
        "a commit is settled at once where the scheme settles later",
        "what_is_settled_at_once_is_settled_by_the_model",
        _forged_entry("GROSS_PAYER", _of("green", "SETTLEMENT"), _of("green"), "'forged'")
        + ";".join(("", _forged_entry("GROSS_PAYEE", _of("blue"), _of("blue", "SETTLEMENT"), "'forged'"))),
    ),
    Corruption(
        "a commit is settled out of another DFSP's cover",
        "what_is_settled_at_once_is_settled_by_the_model",
        f"""UPDATE ledger_entry SET debit_account_id = {_of("other", "SETTLEMENT", "KES")} WHERE kind = 'GROSS_PAYER';
            WITH moved AS (SELECT sum(amount) AS s FROM ledger_entry WHERE kind = 'GROSS_PAYER')
            UPDATE ledger_account SET posted_debits = posted_debits + (SELECT s FROM moved)
                * CASE WHEN id = {_of("other", "SETTLEMENT", "KES")} THEN 1 ELSE -1 END
            WHERE id IN ({_of("other", "SETTLEMENT", "KES")}, {_of("fxp", "SETTLEMENT", "KES")})""",
    ),
    # funds
    Corruption(
        "funds that came in grow, with their entry and sums",
        "every_movement_of_funds_is_in_the_audit_trail",
        f"""UPDATE ledger_fundsmovement SET amount = amount + 10000 WHERE transfer_id = {_FUNDS_IN};
            UPDATE ledger_entry SET amount = amount + 10000 WHERE transfer_id = {_FUNDS_IN};
            {_posted(_HUB_FUNDS, "debits", "10000")} {_posted(_of("green", "SETTLEMENT"), "credits", "10000")}""",
    ),
    Corruption(
        "funds come in that nobody recorded",
        "every_movement_of_funds_is_in_the_audit_trail",
        f"""INSERT INTO ledger_fundsmovement (transfer_id, account_id, kind, amount, state, reason, external_reference,
                                              completed_at)
            VALUES ('forged', {_of("green", "SETTLEMENT")}, 'FUNDS_IN', 10000, 'COMMITTED', '', '', now());
            {_forged_entry("FUNDS_IN", _HUB_FUNDS, _of("green", "SETTLEMENT"), "'forged'")}""",
    ),
    Corruption(
        "a withdrawal is forgotten",
        "every_movement_of_funds_is_in_the_audit_trail",
        f"DELETE FROM ledger_fundsmovement WHERE transfer_id = {_WITHDRAWN.format('ABORTED')}",
    ),
    Corruption(
        "a withdrawal ends without a trace",
        "every_movement_of_funds_is_in_the_audit_trail",
        f"""UPDATE ledger_fundsmovement SET state = 'ABORTED', completed_at = now()
            WHERE transfer_id = {_WITHDRAWN.format("RESERVED")};
            UPDATE ledger_account SET pending_debits = 0 WHERE id = {_of("green", "SETTLEMENT")}""",
    ),
    Corruption(
        "the reason of a movement is another",
        "every_movement_of_funds_is_in_the_audit_trail",
        f"UPDATE ledger_fundsmovement SET reason = 'a gift' WHERE transfer_id = {_FUNDS_IN}",
    ),
    Corruption(
        "the bank's reference of a withdrawal is another",
        "every_movement_of_funds_is_in_the_audit_trail",
        f"""UPDATE ledger_fundsmovement SET external_reference = 'another'
            WHERE transfer_id = {_WITHDRAWN.format("COMMITTED")}""",
    ),
    # windows and settlements
    Corruption(
        "a settled window is closed again",
        "a_window_is_what_its_contents_are",
        f"UPDATE ledger_settlementwindow SET state = 'CLOSED' WHERE id = {_SETTLED}",
    ),
    Corruption(
        "a closed window is not added up",
        "closed_windows_are_added_up",
        f"UPDATE ledger_settlementwindow SET totalled_at = NULL WHERE id = {_SETTLED}",
    ),
    Corruption(
        "a window ends later than it did",
        "windows_follow_one_another",
        f"UPDATE ledger_settlementwindow SET last_entry_id = last_entry_id + 1000 WHERE id = {_SETTLED}",
    ),
    Corruption(
        "a total is another",
        "totals_are_the_sums_of_entries",
        """UPDATE settlement_contenttotal SET debits = debits + 1
           WHERE id = (SELECT min(id) FROM settlement_contenttotal)""",
    ),
    Corruption(
        "a net is another",
        "a_settlement_is_what_its_windows_hold",
        "UPDATE settlement_settlementaccount SET net = net + 1 WHERE net > 0",
    ),
    Corruption(
        "an account is settled before its settlement",
        "a_settlement_is_as_far_as_its_accounts",
        "UPDATE settlement_settlementaccount SET state = 'SETTLED' WHERE state = 'PENDING_SETTLEMENT' AND net > 0",
    ),
    Corruption(
        "a settlement's history is gone",
        "a_settlements_history_leads_to_its_state",
        "DELETE FROM settlement_settlementevent WHERE state = 'SETTLED'",
    ),
    Corruption(
        "a content is let go",
        "what_is_settled_is_settled_once",
        "UPDATE settlement_inclusion SET is_released = true",
    ),
    Corruption(
        "one payment of the bank is forgotten",
        "what_the_bank_paid_is_recorded_once",
        "DELETE FROM settlement_payment WHERE id = (SELECT min(id) FROM settlement_payment)",
    ),
    Corruption(
        "a payment of the bank is said to be recorded in another way",
        "what_the_bank_paid_is_recorded_once",
        "UPDATE settlement_payment SET movement_id = NULL, otherwise = otherwise + 1",
    ),
    Corruption(
        "a payment of the bank is another participant's",
        "what_the_bank_paid_is_recorded_once",
        f"""UPDATE ledger_fundsmovement SET account_id = {_of("red", "SETTLEMENT")}
            WHERE transfer_id = (SELECT min(movement_id) FROM settlement_payment)""",
    ),
    Corruption(
        "a model no longer resets positions",
        "a_settlement_is_posted_as_far_as_it_is",
        "UPDATE settlement_settlementmodel SET auto_position_reset = false WHERE delay = 'DEFERRED'",
    ),
    Corruption(
        "a settlement is under a model of another currency",
        "a_settlement_takes_what_its_model_settles",
        """UPDATE settlement_settlement SET model_id =
               (SELECT id FROM settlement_settlementmodel WHERE delay = 'IMMEDIATE');
           UPDATE settlement_settlementmodel SET auto_position_reset = true""",
    ),
    # who proves to be whom
    Corruption(
        "a signing key is another's",
        "every_credential_is_what_it_is_known_by",
        "UPDATE participants_credential SET pem = '{other_pem}' WHERE kind = 'signingKey'",
    ),
    Corruption(
        "a credential is added by nobody",
        "every_credential_is_in_the_audit_trail",
        f"""INSERT INTO participants_credential (participant_id, kind, sha256, label, pem, valid_from, valid_until)
            VALUES ({_RED}, 'client', repeat('a', 64), 'red.x', '', now(), now() + interval '1 day')""",
    ),
    Corruption(
        "a credential is given to another",
        "every_credential_is_in_the_audit_trail",
        f"UPDATE participants_credential SET participant_id = {_RED} WHERE kind = 'client'",
    ),
    Corruption(
        "a credential is valid for longer",
        "every_credential_is_in_the_audit_trail",
        "UPDATE participants_credential SET valid_until = '2099-01-01' WHERE kind = 'client'",
    ),
    Corruption(
        "a revoked credential is valid again",
        "every_credential_is_in_the_audit_trail",
        "UPDATE participants_credential SET revoked_at = NULL WHERE revoked_at IS NOT NULL",
    ),
    Corruption(
        "a credential was never there",
        "every_credential_is_in_the_audit_trail",
        "DELETE FROM participants_credential WHERE kind = 'signingKey'",
    ),
    # what was sent, and the trail
    Corruption(
        "a payer's end was never sent",
        "everyone_is_told",
        f"DELETE FROM outbox_message WHERE subject = {_COMMITTED} AND kind = 'end-to-payer'",
    ),
    Corruption(
        "an entry of the audit trail is another",
        "",
        "UPDATE audit_entry SET actor = 'nobody' WHERE id = (SELECT min(id) FROM audit_entry)",
    ),
    Corruption(
        "the audit trail lacks an entry",
        "",
        "DELETE FROM audit_entry WHERE id = (SELECT min(id) FROM audit_entry)",
    ),
]

# What no invariant sees; docs/operators.md says why of each.
MISSED = [
    Corruption(
        "the time at which a transfer came",
        "",
        f"UPDATE ledger_transfer SET received_at = received_at - interval '1 day' WHERE transfer_id = {_COMMITTED}",
    ),
    Corruption(
        "the time at which a commit was posted",
        "",
        f"UPDATE ledger_entry SET created_at = created_at - interval '1 day' WHERE id = {_ENTRY}",
    ),
    Corruption(
        "the digest by which the hub recognises a resend",
        "",
        f"UPDATE ledger_transfer SET digest = sha256('another') WHERE transfer_id = {_COMMITTED}",
    ),
    Corruption(
        "the reason why a transfer was aborted",
        "",
        "UPDATE ledger_transfer SET error_code = '2001', error_description = 'another' WHERE state = 'ABORTED'",
    ),
    Corruption(
        "whether an account is active",
        "",
        f"UPDATE ledger_account SET is_active = false WHERE id = {_of('green')}",
    ),
    Corruption(
        "the URL of a DFSP's callbacks",
        "",
        "UPDATE participants_endpoint SET value = 'http://another.example'",
    ),
    Corruption(
        "the last entries of the audit trail, if no movement, cap or credential refers to them",
        "",
        "DELETE FROM audit_entry WHERE id = (SELECT max(id) FROM audit_entry)",
    ),
]


@pytest.fixture
def lived_in(world: World) -> World:
    """A ledger in which everything happened."""
    open_scheme(world)
    for model in (add_model(), add_model("CGS", **GROSS)):
        assert model.status_code == 201
    _pay(world, _SETTLED_PAYMENT)
    conversion = agreed(world)
    run(prepare(world, "green", "blue", 5, currency="KES", transfer_id=conversion.determining_transfer_id))
    run(fulfil(world, "blue", conversion.determining_transfer_id))
    agreed(world)
    gross_settlement.settle_new_commits()
    settle_all(settle(close()))
    pay(world, "green", "blue", 15)
    _settle_with_payments()
    pay(world, "blue", "red", 10)
    settle(close())
    _pay(world, _COMMITTED)
    run(prepare(world, "green", "blue", 3))
    refused = prepare(world, "green", "blue", 4)
    run(refused)
    run(reject(world, "blue", refused.transfer_id))
    run(prepare(world, "green", "nobody", 7))
    bulk = bulk_prepare(world, "green", "blue", [1, 2])
    run_bulk(bulk)
    run_bulk(bulk_fulfil(world, "blue", bulk))
    _move_funds(world)
    _give_credentials(world)
    accounts_and_funds.change_ndc(_dfsp("green"), currency="TZS", ndc=amount(900), alarm_percentage=20, actor="test")
    accounts_and_funds.set_account_active(world.account("grey"), is_active=False, actor="test")
    assert world.breaks() == []
    assert list(trail.broken_links()) == []
    with connection.cursor() as cursor:  # they would refuse what comes half-way
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        for check in ("liquidity_is_never_negative", "posted_sums_are_not_negative"):
            cursor.execute(f"ALTER TABLE ledger_account DROP CONSTRAINT {check}")
    return world


def _pay(world: World, quoted: str) -> None:
    """100 from green to blue under this id."""
    transfer_id = quoted.strip("'")
    run(prepare(world, "green", "blue", 100, transfer_id=transfer_id))
    run(fulfil(world, "blue", transfer_id))


def _settle_with_payments() -> None:
    """The open window's settlement, settled with the bank's payments."""
    made = services.create(model_name="DEFERREDNET", window_ids=[close()], reason="test", actor="test")
    services.advance(made.pk, to=State.PS_TRANSFERS_COMMITTED, reason="test", actor="test")
    settlement = Settlement.objects.select_related("model").get(pk=made.pk)
    take_in(settlement)
    statement = bank_payments.evidence(settlement)
    assert statement is not None
    agreed = [each.terms() for each in bank_payments.proposed(settlement, statement)]
    bank_payments.settle(
        settlement.pk, statement_id=statement.pk, agreed=agreed, reason="test", actor="test", references={}
    )


def _dfsp(name: str) -> Participant:
    return Participant.objects.get(name=name)


def _move_funds(world: World) -> None:
    """A withdrawal in each of its states."""
    account = world.account("green", "SETTLEMENT")
    for number, ends in enumerate((None, True, False), 1):
        name = str(uuid.uuid4())
        accounts_and_funds.prepare_funds_out(
            account, transfer_id=name, amount=amount(number), reason="test", external_reference="", actor="test"
        )
        if ends is not None:
            accounts_and_funds.end_funds_out(
                account, transfer_id=name, commits=ends, reason="", actor="test", external_reference="bank"
            )


def _give_credentials(world: World) -> None:
    """A signing key, a client, and a client that was revoked."""
    credentials.add_signing_key(_dfsp("green"), key=public_pem(key_of("green")), actor="test")
    credentials.add_client(_dfsp("green"), actor="test")
    revoked = credentials.add_client(_dfsp("blue"), actor="test").credential
    credentials.revoke(_dfsp("blue"), credential_id=revoked.pk, actor="test")


def _found(corruption: Corruption) -> set[str]:
    """The invariants that break by it; "" for the trail's chain. Taken back in the end."""
    statement = corruption.statement.replace("{other_pem}", public_pem(key_of("red")))
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL session_replication_role = replica")
            cursor.execute(statement)
            found = {broken.invariant.name for broken in invariants.breaks_seen_by(cursor) if not broken.error}
        if list(trail.broken_links()):
            found.add("")
        transaction.set_rollback(True)
    return found


@pytest.mark.slow
def test_a_ledger_that_was_corrupted_is_found_broken(lived_in: World) -> None:
    found = {corruption.name: _found(corruption) for corruption in CORRUPTIONS}
    blind = [corruption.name for corruption in CORRUPTIONS if corruption.found_by not in found[corruption.name]]
    assert len(found) == len(CORRUPTIONS) >= 40
    assert (len(blind), blind) == (0, [])
    assert [corruption.name for corruption in MISSED if _found(corruption)] == []
    assert lived_in.breaks() == []


def test_what_is_not_seen_is_written_down() -> None:
    page = Path(__file__, "../../../docs/operators.md").resolve().read_text()
    assert [corruption.name for corruption in MISSED if corruption.name not in page] == []
