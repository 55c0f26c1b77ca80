"""Fills a hub's tables with the transfers or payments of a busy day. Uses a few SQL statements, with triggers switched
off.

The rows equal the rows that the engine would write, so `manage.py check_ledger` finds no fault. `python -m
bench.seed_busy_day N HOURS` fills the database of DATABASE_URL. With the option `--payments`, the program also writes
quotes, and the records of sent lookup and quote messages.
"""

import argparse
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from bench.messages import CURRENCY
from fspiop import ilp

BUSY = 30  # DFSPs that pay each other
SILENT = "silent-bank"  # a DFSP without transfers
QUIET = "quiet-bank"  # a DFSP with a few old transfers
_QUIET_PAYMENTS = 20
_CLOSED_WINDOWS = 4  # each closed window contains a tenth of all transfers, and the open window contains the rest
RESERVED = 40  # the latest transfers are not finished
BATCH = 200_000
_MUCH = 10**15
FULFILMENT = ilp.fulfilment_for("AA", b"crowd")
_CONDITION = ilp.condition_for(FULFILMENT)


@dataclass(frozen=True)
class Crowd:
    """The number of transfers, and the number of past hours in which these transfers arrived."""

    transfers: int
    hours: float
    are_payments: bool = False  # each transfer has a quote
    with_lookups: bool = False  # each transfer has a lookup, for the portal's history


PARTIES = """
    CREATE TEMPORARY TABLE crowd_party AS
    SELECT row_number() OVER (ORDER BY p.id) - 1 AS place, p.id, p.name, a.id AS account_id
    FROM participants_participant p JOIN ledger_account a ON a.participant_id = p.id AND a.type = 'POSITION'
    WHERE p.name LIKE 'busy-%%'
"""
# Payees rejected one transfer in 40, and the hub refused one transfer in 200 on arrival. The quiet bank's transfers are
# the oldest.
ROWS = """
    CREATE TEMPORARY TABLE crowd AS
    SELECT n, md5('crowd' || n)::uuid::text AS transfer_id,
           payer.id AS payer_id, payer.name AS payer, payer.account_id AS payer_account_id,
           payee.id AS payee_id, payee.name AS payee, payee.account_id AS payee_account_id,
           (1 + n %% 5000)::bigint * 10000 AS amount,
           CASE WHEN n > %(transfers)s - %(reserved)s THEN 'RESERVED'
                WHEN n %% 40 = 7 OR n %% 200 = 11 THEN 'ABORTED' ELSE 'COMMITTED' END AS state,
           n %% 200 = 11 AS is_refused,
           rtrim(translate(encode(sha256(convert_to('fulfilment' || n, 'UTF8')), 'base64'), '+/', '-_'), '=')
               AS fulfilment,
           rtrim(translate(encode(sha256(sha256(convert_to('fulfilment' || n, 'UTF8'))), 'base64'), '+/', '-_'), '=')
               AS condition,
           now() - make_interval(secs => %(seconds)s * (%(transfers)s - n) / %(transfers)s) AS received_at
    FROM generate_series(%(first)s, %(last)s) n
    JOIN crowd_party payer ON payer.place = n::bigint * 7919 %% %(busy)s
    JOIN crowd_party payee ON payee.place = (n::bigint * 7919 + 1 + n %% (%(busy)s - 1)) %% %(busy)s
"""
_TRANSFERS = """
    INSERT INTO ledger_transfer (transfer_id, payer_id, payee_id, payee_name, currency, amount, state, reason,
        error_code, error_description, condition, fulfilment, expires_at, version, digest, fulfil_digest,
        fulfil_version, wants_patch, payer_account_id, payee_account_id, received_at, completed_at)
    SELECT transfer_id, payer_id, payee_id, payee, %(currency)s, amount, state,
           CASE WHEN is_refused THEN 'NDC' WHEN state = 'ABORTED' THEN 'REJECTED_BY_PAYEE' END,
           CASE WHEN is_refused THEN '4200' WHEN state = 'ABORTED' THEN '5104' END,
           CASE WHEN state = 'ABORTED' THEN 'no' END,
           condition, CASE state WHEN 'COMMITTED' THEN fulfilment END, received_at + interval '1 hour',
           '1.1', sha256(transfer_id::bytea), CASE state WHEN 'COMMITTED' THEN sha256(transfer_id::bytea) END,
           CASE state WHEN 'COMMITTED' THEN '1.1' END, false,
           CASE WHEN NOT is_refused THEN payer_account_id END, CASE WHEN NOT is_refused THEN payee_account_id END,
           received_at,
           CASE WHEN state <> 'RESERVED' THEN received_at + make_interval(secs => 0.1 + n %% 40 / 100.0) END
    FROM crowd ORDER BY n
"""
_RESERVATIONS = """
    INSERT INTO ledger_transferevent (transfer_id, state, at, body, headers)
    SELECT transfer_id, 'RESERVED', received_at,
           convert_to(json_build_object('transferId', transfer_id, 'payerFsp', payer, 'payeeFsp', payee,
               'amount', json_build_object('amount', (amount / 10000)::text, 'currency', %(currency)s),
               'condition', condition, 'ilpPacket', repeat('A', 600))::text, 'UTF8'),
           json_build_object('fspiop-source', payer)
    FROM crowd WHERE NOT is_refused ORDER BY n
"""
_ENDS = """
    INSERT INTO ledger_transferevent (transfer_id, state, at, body, headers)
    SELECT transfer_id, state, received_at + interval '150 ms',
           convert_to(CASE WHEN is_refused THEN json_build_object('transferId', transfer_id, 'payerFsp', payer,
               'payeeFsp', payee, 'amount', json_build_object('amount', (amount / 10000)::text,
               'currency', %(currency)s), 'condition', condition)::text ELSE '{}' END, 'UTF8'),
           json_build_object('fspiop-source', payee)
    FROM crowd WHERE state <> 'RESERVED' ORDER BY n
"""
_ENTRIES = """
    INSERT INTO ledger_entry (kind, debit_account_id, credit_account_id, currency, amount, transfer_id, window_id,
                              created_at)
    SELECT 'TRANSFER', payer_account_id, payee_account_id, %(currency)s, amount, transfer_id,
           (%(windows)s::bigint[])[least(1 + n * 10 / %(transfers)s, cardinality(%(windows)s::bigint[]))],
           received_at + interval '150 ms'
    FROM crowd WHERE state = 'COMMITTED' ORDER BY n
"""
_DELIVERIES = """
    INSERT INTO outbox_delivery (message_id, destination_id, method, path, subject, kind, created_at, delivered_at,
                                 attempts, status)
    SELECT nextval('outbox_message_id_seq'), destination_id, method, '/transfers/' || transfer_id, transfer_id, kind,
           received_at, received_at + interval '50 ms', 1, 200
    FROM (SELECT n, transfer_id, received_at, payee_id AS destination_id, 'POST' AS method, 'prepare' AS kind
          FROM crowd WHERE NOT is_refused
          UNION ALL
          SELECT n, transfer_id, received_at, payer_id, 'PUT', 'end-to-payer' FROM crowd WHERE state <> 'RESERVED'
         ) told ORDER BY n
"""
# A quote has the same id as its transfer. The record of a sent message has a digest instead of an alias.
_QUOTES = """
    INSERT INTO quotes_quote (quote_id, transaction_id, payer_id, payee_id, state, request, request_headers,
        request_digest, response, response_headers, response_digest, expires_at, created_at, answered_at, condition,
        packet_sha256, transfer_amount, transfer_currency)
    SELECT transfer_id, transfer_id, payer_id, payee_id, 'ACCEPTED',
           convert_to(json_build_object('quoteId', transfer_id, 'transactionId', transfer_id,
               'payee', json_build_object('partyIdInfo', json_build_object('partyIdType', 'MSISDN',
                   'partyIdentifier', '255' || lpad((n %% 100000)::text, 9, '0'), 'fspId', payee)),
               'payer', json_build_object('partyIdInfo', json_build_object('partyIdType', 'MSISDN',
                   'partyIdentifier', '255' || lpad((n %% 99991)::text, 9, '1'), 'fspId', payer)),
               'amountType', 'SEND', 'amount', json_build_object('amount', (amount / 10000)::text,
               'currency', %(currency)s), 'transactionType', json_build_object('scenario',
                   (ARRAY['TRANSFER', 'TRANSFER', 'PAYMENT', 'WITHDRAWAL'])[1 + n %% 4],
               'initiator', 'PAYER', 'initiatorType', 'CONSUMER'))::text, 'UTF8'),
           json_build_object('fspiop-source', payer, 'fspiop-destination', payee),
           sha256(convert_to('request' || n, 'UTF8')),
           convert_to(json_build_object('transferAmount', json_build_object('amount', (amount / 10000)::text,
               'currency', %(currency)s), 'condition', condition, 'ilpPacket', repeat('A', 600))::text, 'UTF8'),
           json_build_object('fspiop-source', payee, 'fspiop-destination', payer),
           sha256(convert_to('response' || n, 'UTF8')), received_at + interval '1 hour',
           received_at - interval '200 ms', received_at - interval '100 ms',
           condition, sha256(convert_to('packet' || n, 'UTF8')), amount, %(currency)s
    FROM crowd ORDER BY n
"""
_DELIVERIES_BEFORE_TRANSFERS = """
    INSERT INTO outbox_delivery (message_id, destination_id, method, path, subject, kind, created_at, delivered_at,
                                 attempts, status)
    SELECT nextval('outbox_message_id_seq'), destination_id, method, path || subject, subject, kind,
           received_at, received_at + interval '50 ms', 1, CASE method WHEN 'PUT' THEN 200 ELSE 202 END
    FROM (SELECT n, received_at, payee_id AS destination_id, 'GET' AS method, '/parties/MSISDN/' AS path,
                 encode(sha256(convert_to('alias' || n, 'UTF8')), 'hex') AS subject, 'party-request' AS kind FROM crowd
          UNION ALL
          SELECT n, received_at, payer_id, 'PUT', '/parties/MSISDN/',
                 encode(sha256(convert_to('alias' || n, 'UTF8')), 'hex'), 'party-answer' FROM crowd
          UNION ALL
          SELECT n, received_at, payee_id, 'POST', '/quotes/', transfer_id, 'quote-request' FROM crowd
          UNION ALL
          SELECT n, received_at, payer_id, 'PUT', '/quotes/', transfer_id, 'quote-answer' FROM crowd
         ) told ORDER BY n
"""
# The portal's history counts lookups from these rows. One lookup in fifty was not answered.
_LOOKUPS = """
    INSERT INTO directory_endedlookup (requester_id, owner_id, asked_at, ended_at, is_answered)
    SELECT payer_id, payee_id, received_at - interval '2 seconds',
           received_at - interval '2 seconds' + make_interval(secs => 0.03 + n %% 50 / 1000.0), n %% 50 <> 7
    FROM crowd ORDER BY n
"""
# One transfer in ten had a conversion that was refused on arrival.
_CONVERSIONS = """
    INSERT INTO ledger_fxtransfer (commit_request_id, determining_transfer_id, side, initiator_id, fxp_id, fxp_name,
        source_currency, source_amount, target_currency, target_amount, state, reason, error_code, error_description,
        condition, expires_at, held_until, version, digest, received_at, completed_at)
    SELECT 'fx' || substr(transfer_id, 3), md5(transfer_id)::uuid::text, 'PAYER', payer_id, payee_id, payee,
           %(currency)s, amount, 'KES', amount, 'ABORTED', 'LIQUIDITY', '4001', 'no', %(condition)s,
           received_at + interval '1 hour', received_at + interval '1 hour', '2.0', sha256(transfer_id::bytea),
           received_at, received_at
    FROM crowd WHERE n %% 10 = 3 ORDER BY n
"""
_ENDS_OF_CONVERSIONS = """
    INSERT INTO ledger_fxtransferevent (fx_transfer_id, state, reason, at, body)
    SELECT 'fx' || substr(transfer_id, 3), 'ABORTED', 'LIQUIDITY', received_at,
           convert_to(json_build_object('commitRequestId', 'fx' || substr(transfer_id, 3),
               'determiningTransferId', md5(transfer_id)::uuid::text, 'initiatingFsp', payer, 'counterPartyFsp', payee,
               'sourceAmount', json_build_object('amount', (amount / 10000)::text, 'currency', %(currency)s),
               'targetAmount', json_build_object('amount', (amount / 10000)::text, 'currency', 'KES'),
               'condition', %(condition)s)::text, 'UTF8')
    FROM crowd WHERE n %% 10 = 3 ORDER BY n
"""
_DELIVERIES_OF_CONVERSIONS = """
    INSERT INTO outbox_delivery (message_id, destination_id, method, path, subject, kind, created_at, delivered_at,
                                 attempts, status)
    SELECT nextval('outbox_message_id_seq'), payer_id, 'PUT', '/fxTransfers/x/error', 'fx' || substr(transfer_id, 3),
           'fx-end-to-initiator', received_at, received_at, 1, 200
    FROM crowd WHERE n %% 10 = 3 ORDER BY n
"""
# One payment in 50 has a second quote without a transfer (rejected, expired or accepted). One payment in 100 has a
# request to pay.
_ATTEMPTS = """
    INSERT INTO quotes_quote (quote_id, transaction_id, payer_id, payee_id, state, request, request_headers,
        request_digest, response, response_headers, response_digest, expires_at, created_at, answered_at,
        transfer_amount, transfer_currency)
    SELECT 'q' || substr(c.transfer_id, 2), 'q' || substr(c.transfer_id, 2), c.payer_id, c.payee_id, s.state, q.request,
           q.request_headers, q.request_digest, CASE s.state WHEN 'EXPIRED' THEN NULL ELSE q.response END,
           CASE s.state WHEN 'EXPIRED' THEN NULL ELSE q.response_headers END,
           CASE s.state WHEN 'EXPIRED' THEN NULL ELSE q.response_digest END, q.expires_at, q.created_at, q.answered_at,
           CASE s.state WHEN 'ACCEPTED' THEN c.amount END, CASE s.state WHEN 'ACCEPTED' THEN %(currency)s END
    FROM crowd c JOIN quotes_quote q ON q.quote_id = c.transfer_id
    CROSS JOIN LATERAL (SELECT (ARRAY['REJECTED', 'EXPIRED', 'ACCEPTED'])[1 + c.n / 50 %% 3] AS state) s
    WHERE c.n %% 50 = 9 ORDER BY c.n
"""
_REQUESTS = """
    INSERT INTO quotes_transactionrequest (transaction_request_id, payer_id, payee_id, state, request, request_headers,
        request_digest, expires_at, created_at, answered_at)
    SELECT transfer_id, payer_id, payee_id, 'FAILED',
           convert_to(json_build_object('transactionRequestId', transfer_id,
               'payee', json_build_object('partyIdInfo', json_build_object('partyIdType', 'MSISDN',
                   'partyIdentifier', '255' || lpad((n %% 100000)::text, 9, '0'), 'fspId', payee)),
               'payer', json_build_object('partyIdType', 'MSISDN',
                   'partyIdentifier', '255' || lpad((n %% 99991)::text, 9, '1')),
               'amount', json_build_object('amount', (amount / 10000)::text, 'currency', %(currency)s))::text, 'UTF8'),
           '{}', sha256(convert_to('request to pay' || n, 'UTF8')), received_at, received_at, received_at
    FROM crowd WHERE n %% 100 = 3 ORDER BY n
"""
_SUMS = """
    UPDATE ledger_account a SET
        posted_debits = posted_debits + coalesce((SELECT sum(amount) FROM crowd
            WHERE payer_account_id = a.id AND state = 'COMMITTED'), 0),
        posted_credits = posted_credits + coalesce((SELECT sum(amount) FROM crowd
            WHERE payee_account_id = a.id AND state = 'COMMITTED'), 0),
        pending_debits = pending_debits + coalesce((SELECT sum(amount) FROM crowd
            WHERE payer_account_id = a.id AND state = 'RESERVED'), 0)
    WHERE a.type = 'POSITION'
"""


_STATEMENTS = (
    _TRANSFERS,
    _RESERVATIONS,
    _ENDS,
    _ENTRIES,
    _DELIVERIES,
    _SUMS,
    _CONVERSIONS,
    _ENDS_OF_CONVERSIONS,
    _DELIVERIES_OF_CONVERSIONS,
)
_STATEMENTS_OF_PAYMENTS = (_QUOTES, _DELIVERIES_BEFORE_TRANSFERS, _ATTEMPTS, _REQUESTS)


def fill(crowd: Crowd, tell: Callable[[str], None] = lambda text: None) -> None:
    """Onboards the DFSPs and writes their transfers. Requires Django's setup, and empty tables after all migrations."""
    from django.db import connection, transaction

    names = [f"busy-{number:02}" for number in range(BUSY)]
    onboard([*names, QUIET, SILENT])
    with connection.cursor() as cursor:
        cursor.execute("SET statement_timeout = 0")
        cursor.execute(PARTIES, {})
        windows = _windows(cursor)
        fixed: dict[str, Any] = {
            "transfers": crowd.transfers,
            "seconds": crowd.hours * 3600.0,
            "busy": BUSY,
            "reserved": RESERVED,
            "currency": CURRENCY,
            "condition": _CONDITION,
            "windows": windows,
        }
        cursor.execute("SET session_replication_role = replica")
        for first in range(1, crowd.transfers + 1, BATCH):
            last = min(first + BATCH - 1, crowd.transfers)
            with transaction.atomic():
                cursor.execute(ROWS, fixed | {"first": first, "last": last})
                if first == 1:
                    _let_the_quiet_one_pay(cursor)
                for statement in (
                    *_STATEMENTS,
                    *_STATEMENTS_OF_PAYMENTS * crowd.are_payments,
                    *(_LOOKUPS,) * crowd.with_lookups,
                ):
                    cursor.execute(statement, fixed)
                cursor.execute("DROP TABLE crowd")
            tell(f"{last} transfers")
        _close(cursor, windows)
        cursor.execute("SET session_replication_role = origin")
        cursor.execute("VACUUM ANALYZE")
    _settle(windows[:-1])


def onboard(names: Sequence[str]) -> None:
    from hub.participants import services as participants
    from ledger import accounts_and_funds
    from ledger.models import Account

    participants.hub()
    accounts_and_funds.ensure_open_window()
    for account_type in ("HUB_RECONCILIATION", "HUB_MULTILATERAL_SETTLEMENT"):
        accounts_and_funds.open_hub_account(account_type=account_type, currency=CURRENCY, actor="bench")
    for name in names:
        participant = accounts_and_funds.register_participant(
            name=name, currency=CURRENCY, is_proxy=False, actor="bench"
        )
        accounts_and_funds.set_initial_limit(participant, currency=CURRENCY, ndc=_MUCH, actor="bench")
        accounts_and_funds.record_funds_in(
            Account.objects.get(participant=participant, type="SETTLEMENT"),
            transfer_id=str(uuid.uuid4()),
            amount=_MUCH,
            reason="bench",
            external_reference="",
            actor="bench",
        )


def _windows(cursor: Any) -> list[int]:
    """Returns the ids of the settlement windows, with the open window last."""
    from ledger.models import SettlementWindow

    open_window = SettlementWindow.objects.get(state="OPEN")
    found = [open_window.pk + number for number in range(_CLOSED_WINDOWS + 1)]
    cursor.execute("SELECT setval(pg_get_serial_sequence('ledger_settlementwindow', 'id'), %s)", [found[-1]])
    return found


def _let_the_quiet_one_pay(cursor: Any) -> None:
    cursor.execute(
        """UPDATE crowd SET payer_id = p.id, payer = p.name, payer_account_id = a.id
           FROM participants_participant p JOIN ledger_account a ON a.participant_id = p.id AND a.type = 'POSITION'
           WHERE p.name = %s AND n <= %s""",
        [QUIET, _QUIET_PAYMENTS],
    )


def _close(cursor: Any, windows: Sequence[int]) -> None:
    """Writes the settlement windows. All windows except the last window are closed."""
    cursor.execute("DELETE FROM ledger_settlementwindow")
    cursor.execute(
        """INSERT INTO ledger_settlementwindow (id, state, reason, created_at, changed_at, closed_at, last_entry_id)
           SELECT window_id, 'CLOSED', 'end of day', min(created_at), max(created_at), max(created_at), max(id)
           FROM ledger_entry WHERE window_id < %s GROUP BY 1""",
        [windows[-1]],
    )
    cursor.execute(
        """INSERT INTO ledger_settlementwindow (id, state, reason, created_at, changed_at)
           SELECT window_id, 'OPEN', '', min(created_at), min(created_at) FROM ledger_entry WHERE window_id = %s
           GROUP BY 1""",
        [windows[-1]],
    )


def _settle(windows: Sequence[int]) -> None:
    """Uses the settlement services to settle all closed windows except the last closed window."""
    from settlement import services
    from settlement.models import SettlementModel
    from settlement.states import State

    services.total_up_what_is_left()
    model = SettlementModel.objects.create(
        name="DEFERREDNET",
        granularity="NET",
        interchange="MULTILATERAL",
        delay="DEFERRED",
        require_liquidity_check=False,
        auto_position_reset=True,
        ledger_account_type="POSITION",
        settlement_account_type="SETTLEMENT",
    )
    for number in windows[:-1]:
        made = services.create(model_name=model.name, window_ids=[number], reason="bench", actor="bench")
        services.advance(made.pk, to=State.SETTLED, reason="bench", actor="bench")


def main() -> None:
    """Fills the database of DATABASE_URL, and prints its size."""
    parser = argparse.ArgumentParser(prog="python -m bench.seed_busy_day")
    parser.add_argument("transfers", type=int)
    parser.add_argument("hours", type=float)
    parser.add_argument("--payments", action="store_true")
    options = parser.parse_args()
    import django

    django.setup()
    from django.db import connection

    fill(Crowd(options.transfers, options.hours, options.payments))
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_database_size(current_database())")
        (size,) = cursor.fetchone()
    print(f"{options.transfers} stored, {size / 2**20:.0f} MiB, {size / options.transfers:.0f} bytes for each")


if __name__ == "__main__":
    main()
