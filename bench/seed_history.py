"""Fills a hub's tables with the data for a replay of rules (`python -m bench.seed_history PAYMENTS`).

Writes only transfers, the transfers' final states, and quotes with facts. The data is incomplete, so `check_ledger`
would find faults.
"""

import argparse
from datetime import timedelta
from typing import Any

from bench import generated_rules, seed_busy_day
from bench.messages import CURRENCY
from rules import kept_verdicts
from rules.kept_verdicts import Kept

_HOURS = 24 * 7
_CONDITION = "rtrim(translate(encode(sha256(convert_to('condition' || n, 'UTF8')), 'base64'), '+/', '-_'), '=')"
_TRANSFERS = f"""
    INSERT INTO ledger_transfer (transfer_id, payer_id, payee_id, payee_name, currency, amount, state, reason,
        error_code, error_description, condition, fulfilment, expires_at, version, digest, fulfil_digest,
        fulfil_version, wants_patch,
        payer_account_id, payee_account_id, received_at, completed_at)
    SELECT transfer_id, payer_id, payee_id, payee, %(currency)s, amount, state,
           CASE WHEN is_refused THEN 'NDC' WHEN state = 'ABORTED' THEN 'REJECTED_BY_PAYEE' END,
           CASE WHEN state = 'ABORTED' THEN '4200' END, CASE WHEN state = 'ABORTED' THEN 'no' END,
           {_CONDITION}, CASE state WHEN 'COMMITTED' THEN %(fulfilment)s END, received_at + interval '1 hour',
           '1.1', sha256(transfer_id::bytea), CASE state WHEN 'COMMITTED' THEN sha256(transfer_id::bytea) END,
           CASE state WHEN 'COMMITTED' THEN '1.1' END, false,
           CASE WHEN NOT is_refused THEN payer_account_id END, CASE WHEN NOT is_refused THEN payee_account_id END,
           received_at, CASE WHEN state <> 'RESERVED' THEN received_at + interval '150 ms' END
    FROM crowd ORDER BY n
"""  # noqa: S608
_EVENTS = """
    INSERT INTO ledger_transferevent (transfer_id, state, at, body, headers)
    SELECT transfer_id, state, at, ''::bytea, '{}'
    FROM (SELECT n, transfer_id, 'RESERVED' AS state, received_at AS at FROM crowd WHERE NOT is_refused
          UNION ALL
          SELECT n, transfer_id, state, received_at + interval '150 ms' FROM crowd WHERE state <> 'RESERVED') each
    ORDER BY at, n
"""
_FACTS = "COPY crowd_facts (n, rule_facts) FROM STDIN"
_QUOTES = f"""
    INSERT INTO quotes_quote (quote_id, transaction_id, payer_id, payee_id, state, request, request_headers,
        request_digest, response, response_headers, response_digest, expires_at, created_at, answered_at, condition,
        packet_sha256, transfer_amount, transfer_currency, rule_facts)
    SELECT transfer_id, transfer_id, payer_id, payee_id, 'ACCEPTED', ''::bytea, '{{}}', sha256(transfer_id::bytea),
           ''::bytea, '{{}}', sha256(transfer_id::bytea), received_at + interval '1 hour',
           received_at - interval '200 ms', received_at - interval '100 ms', {_CONDITION},
           sha256(convert_to('packet' || n, 'UTF8')), amount, %(currency)s, rule_facts
    FROM crowd JOIN crowd_facts USING (n) ORDER BY n
"""  # noqa: S608


def fill(payments: int) -> None:
    """Onboards DFSPs and writes the payments of a week. Requires Django's setup, and empty tables."""
    from django.db import connection, transaction

    seed_busy_day.onboard([f"busy-{number:02}" for number in range(seed_busy_day.BUSY)])
    fixed: dict[str, Any] = {
        "transfers": payments,
        "seconds": _HOURS * 3600.0,
        "busy": seed_busy_day.BUSY,
        "reserved": seed_busy_day.RESERVED,
        "currency": CURRENCY,
        "fulfilment": seed_busy_day.FULFILMENT,
    }
    with connection.cursor() as cursor:
        cursor.execute("SET statement_timeout = 0")
        cursor.execute("SET idle_in_transaction_session_timeout = 0")  # Python needs some time for the facts of a batch
        cursor.execute("SET session_replication_role = replica")
        cursor.execute(seed_busy_day.PARTIES, {})
        cursor.execute("CREATE TEMPORARY TABLE crowd_facts (n bigint PRIMARY KEY, rule_facts bytea)")
        for first in range(1, payments + 1, seed_busy_day.BATCH):
            with transaction.atomic():
                cursor.execute(
                    seed_busy_day.ROWS, fixed | {"first": first, "last": min(first + seed_busy_day.BATCH - 1, payments)}
                )
                _add_facts(cursor)
                for statement in (_TRANSFERS, _EVENTS, _QUOTES):
                    cursor.execute(statement, fixed)
                cursor.execute("DROP TABLE crowd")
                cursor.execute("TRUNCATE crowd_facts")
        cursor.execute("SET session_replication_role = origin")
        cursor.execute("VACUUM ANALYZE")


def _add_facts(cursor: Any) -> None:
    cursor.execute("SELECT n, transfer_id, payer, payee, amount, received_at FROM crowd")
    rows = cursor.fetchall()
    with cursor.copy(_FACTS) as copy:
        for number, transfer_id, payer, payee, amount, received_at in rows:
            asked_at = received_at - timedelta(milliseconds=200)
            facts = generated_rules.facts_of_quote(number, payer, payee, asked_at, amount=amount)
            copy.write_row((number, kept_verdicts.to_bytes({transfer_id: Kept(facts, 1)})))


def main() -> None:
    """Fills the database of DATABASE_URL."""
    parser = argparse.ArgumentParser(prog="python -m bench.seed_history", description=__doc__)
    parser.add_argument("payments", type=int)
    options = parser.parse_args()
    import django

    django.setup()
    fill(options.payments)


if __name__ == "__main__":
    main()
