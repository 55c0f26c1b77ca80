"""Statements of the money path find rows by their keys, and write no index without need.

That holds, too, where PostgreSQL believes that the tables are empty. It often does: a table that is a queue is
counted when nothing waits, and the plan of a prepared statement is kept for a day of thousands. So these are plans that
do not depend on the parameters (`plan_cache_mode = force_generic_plan`).
"""

import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from itertools import count
from typing import Any

import psycopg
import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from directory import alias_and_lookup_sql as directory
from hub.outbox import claims, queries
from hub.outbox import store as outbox
from hub.outbox.messages import Outgoing
from hub.postgresql import arrays
from hub.sql_execution import execute, found_by_keys, work_by_keys
from ledger import rules_gate
from ledger import store as ledger
from ledger.dfsp_api import statement
from ledger.models import Account
from ledger.rule_history import stored_payments
from quotes import kept_facts_and_verdicts
from quotes import store as quotes
from quotes.models import Quote
from rules.profiles import folding
from rules.profiles import store as profiles
from rules.rulesets import sql_for_payments
from tests.world import World

ORDERED_STEPS = {"Nested Loop", "Index Scan", "Index Only Scan", "Function Scan", "CTE Scan"}
AROUND_THEM = {"ModifyTable", "Subquery Scan", "Limit", "LockRows", "Result", "Memoize"}
# From one source of messages to the next in the index, and how many there are.
BY_SOURCE = {"Recursive Union", "WorkTable Scan", "Append", "WindowAgg", "Materialize"}


def plan_of(statement: str, parameters: list[Any]) -> list[dict[str, Any]]:
    """Every step of the plan that a thread of the money path may keep for this statement."""
    numbers = count(1)
    numbered = re.sub("%s", lambda _: f"${next(numbers)}", statement).replace("%%", "%")
    bound = [arrays.literal(each) if type(each) is list else each for each in parameters]

    def explained() -> Any:
        try:
            connection.ensure_connection()
            cursor = psycopg.ClientCursor(connection.connection)
            cursor.execute("SET plan_cache_mode = force_generic_plan")
            cursor.execute(f"PREPARE kept AS {numbered}")
            cursor.execute(f"EXPLAIN (FORMAT JSON) EXECUTE kept ({', '.join(['%s'] * len(bound))})", bound)
            return cursor.fetchone()[0]
        finally:
            connection.close()

    with ThreadPoolExecutor(max_workers=1, initializer=work_by_keys) as thread:
        found = thread.submit(explained).result()
    return list(steps_of((json.loads(found) if isinstance(found, str) else found)[0]["Plan"]))


def steps_of(step: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield step
    for below in step.get("Plans", []):
        yield from steps_of(below)


def indexes_for(alias: str, plan: list[dict[str, Any]]) -> set[str]:
    """Those by which rows of a table are found; a read of all of it is "everything"."""
    found = set()
    for step in plan:
        if step.get("Alias") == alias and step["Node Type"].endswith("Scan"):
            inner = [below["Index Name"] for below in step.get("Plans", []) if "Index Name" in below]
            found |= {step["Index Name"]} if "Index Name" in step else set(inner) or {"everything"}
    return found


def messages_to(destination_id: int, count: int, *, subjects: int = 10**6) -> list[Outgoing]:
    return [
        Outgoing(
            destination_id=destination_id,
            method="PUT",
            path=f"/transfers/{number}",
            headers={"date": "now"},
            body=b"{" + b" " * 700 + b"}",
            subject=str(number % subjects),
            kind="state",
            signed_by_hub=False,
        )
        for number in range(count)
    ]


@pytest.mark.parametrize(("waiting", "subjects"), [(0, 1), (1, 1), (3, 3), (20, 20), (300, 300), (300, 1)])
def test_a_claim_reads_what_it_takes_and_of_each_message_its_subject_whatever_waited_when_it_was_planned(
    committed_world: World, waiting: int, subjects: int
) -> None:
    destinations = [committed_world.ids["green"], committed_world.ids["blue"]]
    for destination in destinations:
        outbox.append(messages_to(destination, waiting, subjects=subjects))
    execute("ANALYZE outbox_message")
    plan = plan_of(claims._DUE, [destinations, [32, 32], 32, [], [], [], []])
    assert {step["Node Type"] for step in plan} <= ORDERED_STEPS | AROUND_THEM | BY_SOURCE
    assert {name for n in ("m", "s", "s_1") for name in indexes_for(n, plan)} == {"message_by_source"}, plan
    plan = plan_of(claims._LEASE, [10, [1, 2, 3]])
    assert {step["Node Type"] for step in plan} <= ORDERED_STEPS | AROUND_THEM
    assert indexes_for("m", plan) == {"outbox_message_pkey"}
    assert indexes_for("head", plan) == {"message_by_subject"}


@pytest.mark.parametrize("state", ["PENDING", "DEAD"])
def test_the_queues_of_others_are_not_searched_in_one_participants_messages(committed_world: World, state: str) -> None:
    outbox.append(messages_to(committed_world.ids["green"], 8000))
    execute("UPDATE outbox_message SET state = %s", [state])
    execute("VACUUM ANALYZE outbox_message")
    with CaptureQueriesContext(connection) as captured:
        assert {queue.destination for queue in queries.queues()} == {"green"}
    *_, keys, statement = (each["sql"] for each in captured if "COMMIT" not in each["sql"])
    with transaction.atomic():
        execute(keys)
        found = execute(f"EXPLAIN (FORMAT JSON) {statement}").fetchone()
    plan = list(steps_of((json.loads(found[0]) if isinstance(found[0], str) else found[0])[0]["Plan"]))
    (waiting,), (given_up,) = indexes_for("outbox_message", plan), indexes_for("outbox_message_1", plan)
    assert waiting in {"message_by_source", "message_by_subject"}
    assert given_up in {"message_dead", "message_given_up"}


@pytest.mark.parametrize("waiting", [0, 1, 300])
def test_paused_messages_are_found_by_their_source_whatever_waited_when_the_statement_was_planned(
    committed_world: World, waiting: int
) -> None:
    destination = committed_world.ids["green"]
    outbox.append(messages_to(destination, waiting))
    execute("ANALYZE outbox_message")
    plan = plan_of(claims._PUT_OFF_PAUSED, [[destination], [0], ["state"], [1.0], [3000]])
    assert {step["Node Type"] for step in plan} <= ORDERED_STEPS | AROUND_THEM
    found = {alias: indexes_for(alias, plan) for alias in ("d", "f", "m")}
    assert found == {"d": {"message_by_source"}, "f": {"outbox_message_pkey"}, "m": {"outbox_message_pkey"}}


KNOWN_IDS = {
    "lease": (claims._LEASE, [10, [1, 2, 3]]),
    "put off": (claims._PUT_OFF, [10, [1, 2, 3]]),
    "delivered": (outbox._DELIVERED, [[1, 2, 3], [200, 200, 200], [1, 2, 3], b""]),
    "postpone": (
        outbox._POSTPONE,
        [[1, 2], [datetime.now(UTC)] * 2, [1.0, 1.0], ["", ""], [False, True], [True, True], [1, 2]],
    ),
    "give up": (outbox._GIVE_UP, [[1, 2, 3], 20]),
    "renew": (outbox._APPEND_OR_RENEW, outbox._columns(messages_to(1, 3))),
}


@pytest.mark.parametrize("name", KNOWN_IDS)
def test_messages_are_found_by_their_ids_where_the_queue_was_counted_empty_and_is_full(
    committed_world: World, name: str
) -> None:
    """A queue keeps its pages when it empties: counted then, a handful of rows is expected in all of them."""
    destination = committed_world.ids["green"]
    outbox.append(messages_to(destination, 8000, subjects=1))
    execute("DELETE FROM outbox_message WHERE id < (SELECT max(id) - 2 FROM outbox_message)")
    execute("VACUUM (ANALYZE) outbox_message")
    outbox.append(messages_to(destination, 8000, subjects=1))
    statement, parameters = KNOWN_IDS[name]
    scans = [
        step
        for step in plan_of(statement, parameters)
        if step["Node Type"].endswith("Scan") and step.get("Relation Name") == "outbox_message"
    ]
    assert scans
    for scan in scans:
        assert scan.get("Index Name") in ("outbox_message_pkey", "message_by_subject"), scan
        assert "Index Cond" in scan, scan


def test_transfers_that_end_are_found_by_their_ids_and_not_among_all_reservations(committed_world: World) -> None:
    ids = [f"{number:08}-0000-4000-8000-000000000000" for number in range(40)]
    nothing: list[Any] = [None] * 40
    now = [datetime.now(UTC)] * 40
    states = ["COMMITTED"] * 40
    columns = [ids, states, nothing, nothing, nothing, nothing, nothing, nothing, [False] * 40, now, ["RESERVED"] * 40]
    plan = plan_of(ledger._END_TRANSFERS, columns)
    assert {step["Node Type"] for step in plan} <= ORDERED_STEPS | AROUND_THEM
    assert indexes_for("t", plan) == {"ledger_transfer_pkey"}


LOOKUPS_AND_QUOTES = {
    "quotes": (quotes._select(Quote), [["q", "r"]], {"a": {"quotes_quote_pkey"}}),
    "quotes that came again": (quotes._select_messages(Quote), [["q", "r"]], {"a": {"quotes_quote_pkey"}}),
    "answers": (
        quotes._update(Quote),
        [["q"], ["PENDING"], ["ACCEPTED"], [b""], ["{}"], [b""], ["c"], [b""], [1], ["TZS"], [None]],
        {"a": {"quotes_quote_pkey"}},
    ),
    "aliases": (
        directory._REGISTERED,
        [["MSISDN"], ["1"], [""], [""]],
        {"r": {"an_alias_belongs_to_one_dfsp_per_currency"}, "fsp": {"participants_participant_pkey"}},
    ),
    "facts of quotes": (
        kept_facts_and_verdicts._OF_QUOTES,
        [[b"k"], [1], ["blue"], ["c"], [b"p"]],
        {"q": {"quote_by_packet"}},
    ),
    "ends of lookups": (
        directory._END,
        [[1], ["s"], [2], 25],
        {"l": {"one_lookup_waits_for_an_answer"}, "later": {"one_lookup_waits_for_an_answer"}},
    ),
}


@pytest.mark.parametrize("name", LOOKUPS_AND_QUOTES)
def test_lookups_and_quotes_are_found_by_their_keys_also_where_their_tables_were_counted_empty(
    committed_world: World, name: str
) -> None:
    execute("ANALYZE quotes_quote, directory_partylookup, directory_partyidentifier")
    statement, parameters, expected = LOOKUPS_AND_QUOTES[name]
    plan = plan_of(statement, parameters)
    assert {step["Node Type"] for step in plan} <= ORDERED_STEPS | AROUND_THEM, plan
    assert {alias: indexes_for(alias, plan) for alias in expected} == expected


@pytest.mark.parametrize(
    ("statement", "parameters"),
    [
        (directory._REGISTER, [1, ["MSISDN"], ["1"], [""], [""], 1]),
        (directory._HELD_BY_OTHERS, [["MSISDN"], ["1"], [""], [""], 1]),
    ],
)
def test_the_aliases_of_a_batch_are_found_one_by_one_and_not_among_all_of_their_dfsp(
    committed_world: World, statement: str, parameters: list[Any]
) -> None:
    execute("ANALYZE directory_partyidentifier")
    assert indexes_for("p", plan_of(statement, parameters)) == {"an_alias_belongs_to_one_dfsp_per_currency"}


PROFILES = {
    "read": (profiles._READ, [[1, 2]], {"rules_profiles_profile": {"rules_profiles_profile_pkey"}}),
    "save": (profiles._SAVE, [[1], [b""], [0], [0], [0]], {"p": {"rules_profiles_profile_pkey"}}),
    "what was added": (
        profiles._DELETE_UNFOLDED,
        [[1, 2]],
        {"rules_profiles_unfoldedcount": {"rules_profiles_unfoldedcount_pkey"}},
    ),
    "what was removed": (profiles._DELETE_REMOVALS, [[1], ["t"], [0]], {"u": {"unfolded_count_by_profile"}}),
    "counted": (profiles._COUNTED, [["t", "u"]], {"c": {"rules_profiles_countedtransfer_pkey"}}),
    "paid before": (
        rules_gate._PAID,
        [[1], [2]],
        {"c": {"counted_by_payer"}, "t": {"ledger_transfer_pkey"}},
    ),
}


@pytest.mark.parametrize("name", PROFILES)
def test_profiles_are_found_by_their_keys_also_where_their_tables_were_counted_empty(
    committed_world: World, name: str
) -> None:
    execute("ANALYZE rules_profiles_profile, rules_profiles_countedtransfer, rules_profiles_unfoldedcount")
    statement, parameters, expected = PROFILES[name]
    plan = plan_of(statement, parameters)
    assert {step["Node Type"] for step in plan} <= ORDERED_STEPS | AROUND_THEM, plan
    assert {alias: indexes_for(alias, plan) for alias in expected} == expected


_READ_WHOLE = """
    SELECT relname FROM pg_stat_xact_user_tables
    WHERE seq_scan > 0 AND relname LIKE 'rules\\_profiles%%' ORDER BY relname
"""


def test_a_lock_reads_no_table_of_profiles_as_a_whole_also_where_it_was_planned_for_empty_ones(
    committed_world: World,
) -> None:
    execute("ANALYZE rules_profiles_profile, rules_profiles_countedtransfer, rules_profiles_unfoldedcount")

    def read_whole() -> tuple[int, list[str]]:
        try:
            with transaction.atomic():
                locked, _ = profiles.lock([1, 2])
                read = [row[0] for row in execute(_READ_WHOLE)]
                # what a read of a whole table looks like
                execute("SET LOCAL enable_indexscan = off")
                execute("SET LOCAL enable_indexonlyscan = off")
                execute("SELECT count(*) FROM rules_profiles_unfoldedcount")
                assert [row[0] for row in execute(_READ_WHOLE)] == ["rules_profiles_unfoldedcount"]
                return len(locked), read
        finally:
            connection.close()

    with ThreadPoolExecutor(max_workers=1, initializer=work_by_keys) as thread:
        assert thread.submit(read_whole).result() == (2, [])


def test_a_fold_reads_no_table_of_profiles_as_a_whole_also_where_it_was_planned_for_empty_ones(
    committed_world: World,
) -> None:
    execute("ANALYZE rules_profiles_profile, rules_profiles_countedtransfer, rules_profiles_unfoldedcount")
    with transaction.atomic():
        folding.fold_profiles([1, 2])
        assert execute(_READ_WHOLE).fetchall() == []


def test_a_decision_is_found_among_any_number_of_decisions_with_the_same_id(committed_world: World) -> None:
    execute("ANALYZE rules_rulesets_decision, ledger_transfer, ledger_transferevent")
    refused = plan_of(sql_for_payments._REFUSED, [["green"], ["q"]])
    assert {step["Node Type"] for step in refused} <= ORDERED_STEPS | AROUND_THEM
    assert indexes_for("d", refused) == {"decision_refused_quote"}
    of_transfers = plan_of(stored_payments._OF_TRANSFERS, [["t"]])
    assert {step["Index Name"] for step in of_transfers if step.get("Relation Name") == "rules_rulesets_decision"} == {
        "decision_by_subject_and_gate"
    }


def test_the_latest_payments_of_profiles_and_the_originals_of_refunds_are_found_by_their_keys(
    committed_world: World,
) -> None:
    execute("ANALYZE rules_profiles_countedtransfer, rules_profiles_unfoldedcount, ledger_transfer")
    latest = plan_of(profiles._LATEST, [[1], [0], ["TZS"], [datetime.now(UTC)], [64], [1], [2], [1]])
    of_refunds = plan_of(rules_gate._ORIGINALS, [[0], ["t"], [1], [2], None])
    for plan in (latest, of_refunds):
        assert "Seq Scan" not in {step["Node Type"] for step in plan}
    found = {step["Index Name"] for step in latest if step.get("Relation Name") == "rules_profiles_countedtransfer"}
    assert {f"counted_by_{role}" for role in ("payer", "payee", "payer_dfsp", "payee_dfsp")} < found
    assert {step["Index Name"] for step in of_refunds if step.get("Relation Name") == "ledger_transfer"} == {
        "ledger_transfer_pkey"
    }


_POSTINGS_OF_GREEN = """
    INSERT INTO ledger_entry (kind, debit_account_id, credit_account_id, currency, amount, transfer_id, created_at)
    SELECT 'FUNDS_IN', CASE WHEN n %% 2 = 0 THEN a.id ELSE o.id END, CASE WHEN n %% 2 = 0 THEN o.id ELSE a.id END,
           a.currency, 1, 'p' || a.id || '/' || n, '2026-01-01'::timestamptz + n * interval '1 second'
    FROM ledger_account a
    CROSS JOIN LATERAL (SELECT id FROM ledger_account WHERE participant_id = %s LIMIT 1) o
    CROSS JOIN generate_series(1, 2000) n
    WHERE a.participant_id = %s
"""


def test_a_page_of_a_statement_reads_no_more_entries_than_its_limit_for_each_account(committed_world: World) -> None:
    green, limit = committed_world.ids["green"], 40
    with transaction.atomic():
        execute("SET LOCAL session_replication_role = replica")
        with connection.cursor() as cursor:
            cursor.execute(_POSTINGS_OF_GREEN, [committed_world.ids["blue"], green])
    execute("ANALYZE ledger_entry, ledger_account")
    accounts = Account.objects.filter(participant_id=green).count()
    assert accounts > 1
    parameters = {"own": green, "at": datetime(2026, 1, 1, tzinfo=UTC), "key": "", "to": statement._LAST, "size": limit}
    found = found_by_keys(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement._PAGE}", parameters)[0][0]
    scans = [step for step in steps_of(found[0]["Plan"]) if step.get("Relation Name") == "ledger_entry"]
    read = {
        step["Index Name"]: step["Actual Loops"] * (step["Actual Rows"] + step.get("Rows Removed by Filter", 0))
        for step in scans
        if str(step.get("Index Name")).startswith("entry_other_by_")
    }
    assert set(read) == {"entry_other_by_debit", "entry_other_by_credit"}, scans
    assert all(limit <= rows <= accounts * (limit + 1) for rows in read.values()), read


def test_a_claim_of_messages_changes_no_index(world: World) -> None:
    """Each claimed row's new version is on the page of the old one, or its indexes would be written anew."""
    destination = world.ids["green"]
    outbox.append(messages_to(destination, 100))
    before = updates()
    assert len(claims.claim({destination: claims.Room(100, 10**9)}, lease_s=10).messages) == 100
    assert [after - earlier for after, earlier in zip(updates(), before, strict=True)] == [100, 100]


def updates() -> list[int]:
    """How many rows of the queue this connection has updated lately, and how many of them within their page."""
    return execute(
        """SELECT pg_stat_get_xact_tuples_updated('outbox_message'::regclass),
                  pg_stat_get_xact_tuples_hot_updated('outbox_message'::regclass)"""
    ).fetchone()


def test_messages_about_a_number_are_found_by_its_subjects_and_not_among_all_messages(world: World) -> None:
    """PostgreSQL believes that so many subjects have many messages: it would look for them from the newest one."""
    with connection.cursor() as cursor:
        cursor.execute(
            """INSERT INTO outbox_delivery (message_id, destination_id, method, path, subject, kind, created_at,
                                            delivered_at, attempts, status)
               SELECT n, %s, 'GET', '/parties', 'of-' || n %% 5000, 'lookup', now(), now(), 1, 202
               FROM generate_series(1, 100000) AS n""",
            [world.ids["blue"]],
        )
        cursor.execute("ANALYZE outbox_delivery")
    with CaptureQueriesContext(connection) as sent:
        assert not queries.delivered_about([f"unknown-{n}" for n in range(1000)]).order_by("-message_id")[:500]
        known = queries.delivered_about(["of-7", "of-8"]).order_by("-message_id")[:3]
        assert [each.pk for each in known] == [95_008, 95_007, 90_008]
    asked = [each["sql"] for each in sent if "outbox_delivery" in each["sql"] and "LIMIT" in each["sql"]]
    with connection.cursor() as cursor:
        for statement in asked:
            cursor.execute(f"EXPLAIN (FORMAT JSON) {statement}")
            steps = list(steps_of(cursor.fetchone()[0][0]["Plan"]))
            by_key = [step for step in steps if step.get("Index Name") == "outbox_delivery_pkey"]
            assert all("Index Cond" in step for step in by_key), statement
