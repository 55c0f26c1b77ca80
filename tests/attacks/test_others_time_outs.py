"""One DFSP's overdue questions by the thousand: the others are told of theirs by the next tick all the same."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
from django.db import connection

from directory import party_lookups
from directory.tasks import report_unanswered
from hub import fair_overdue_rows, sql_execution
from hub.outbox import unanswered
from hub.outbox.models import Message
from hub.sql_execution import execute
from ledger import store as transfers
from ledger.bulk import store as bulks
from ledger.fx import store as conversions
from quotes import expiry
from quotes.forwarded import pending_requests
from quotes.models import Agreement, BulkQuote, FxQuote, Quote
from quotes.tasks import fail_unanswered
from quotes.transaction_requests import services
from tests.world import World

MOST = 500


@dataclass(frozen=True)
class Kind:
    """What becomes overdue: how so many of a DFSP are stored, what finds them, by which index, and what ends them."""

    table: str
    key: str
    of: str
    index: str
    find: Callable[[int], list[str]]
    columns: str  # but for those that all of them have
    values: str
    tick: Callable[[], int] | None = None

    def overdue(self, world: World, asker: str, count: int, *, minutes: int) -> None:
        """As many of `asker` at blue, overdue for so many minutes."""
        ids = {
            "asker": world.ids[asker],
            "asked": world.ids["blue"],
            "account": world.account(asker).pk,
            "id": f"md5('{asker} ' || n)::uuid::text",
            "past": f"now() - interval '{minutes} minutes'",
        }
        for first in range(1, count + 1, 2000):  # each well within the longest time of a statement
            last = min(count, first + 1999)
            execute(
                f"""INSERT INTO {self.table} ({self.columns.format(**ids)}) SELECT {self.values.format(**ids)}
                    FROM generate_series({first}, {last}) n"""
            )

    def keys_of(self, world: World, asker: str) -> list[str]:
        found = execute(f"SELECT {self.key} FROM {self.table} WHERE {self.of} = {world.ids[asker]}")
        return [str(row[0]) for row in found]


def _quotes(kind: type[Agreement], key: str, *, more: str = "", expires: str = "NULL") -> Kind:
    resource, version = kind.resource, "2.0" if kind is FxQuote else "1.1"
    headers = f"""{{{{"content-type": "application/vnd.interoperability.{resource}+json;version={version}"}}}}"""
    columns = [key, "payer_id, payee_id, state, request, request_headers, request_digest, created_at, expires_at"]
    values = [f"{{id}}, {{asker}}, {{asked}}, 'PENDING', 'body', '{headers}', 'digest', {{past}}", expires]
    return Kind(
        table=kind._meta.db_table,
        key=key,
        of="payer_id",
        index={Quote: "", BulkQuote: "bulk_", FxQuote: "fx_"}[kind] + "quote_pending_by_payer",
        find=lambda most: expiry._find(kind, most),
        columns=", ".join([*columns, more] if more else columns),
        values=", ".join([*values, "{id}"] if more else values),
        tick=fail_unanswered,
    )


KINDS = {
    "lookups": Kind(
        table="directory_partylookup",
        key="id",
        of="requester_id",
        index="lookup_waiting_by_requester",
        find=partial(unanswered.find_late, party_lookups.LOOKUPS),
        columns="requester_id, owner_id, subject, error_path, version, asked_at, answer_by",
        values="{asker}, {asked}, {id}, '/parties/MSISDN/' || n || '/error', '1.1', {past}, {past}",
        tick=report_unanswered,
    ),
    "questions": Kind(
        table="quotes_question",
        key="id",
        of="asker_id",
        index="question_waiting",
        find=partial(unanswered.find_late, pending_requests.QUESTIONS),
        columns="asker_id, asked_id, resource, subject, version, asked_at, answer_by",
        values="{asker}, {asked}, 'authorizations', {id}, '1.1', {past}, {past}",
        tick=fail_unanswered,
    ),
    "quotes": _quotes(Quote, "quote_id", more="transaction_id"),
    "quotes that expire": _quotes(Quote, "quote_id", more="transaction_id", expires="{past}"),
    "bulk quotes": _quotes(BulkQuote, "bulk_quote_id"),
    "FX quotes": _quotes(FxQuote, "conversion_request_id", more="conversion_id", expires="{past}"),
    "requests to pay": Kind(
        table="quotes_transactionrequest",
        key="transaction_request_id",
        of="payee_id",
        index="request_sent_by_payee",
        find=services._find_late,
        columns="transaction_request_id, payee_id, payer_id, state, request, request_headers, request_digest,"
        " created_at, expires_at",
        values="{id}, {asker}, {asked}, 'SENT', 'body',"
        """ '{{"content-type": "application/vnd.interoperability.transactionRequests+json;version=1.1"}}',"""
        " 'digest', {past}, {past}",
        tick=fail_unanswered,
    ),
    "transfers": Kind(
        table="ledger_transfer",
        key="transfer_id",
        of="payer_id",
        index="transfer_reserved_by_payer",
        find=transfers.past_expiry,
        columns="transfer_id, payer_id, payee_id, payee_name, currency, amount, state, condition, expires_at, version,"
        " digest, wants_patch, payer_account_id, payee_account_id",
        values="{id}, {asker}, {asked}, 'blue', 'TZS', 1, 'RESERVED', '', {past}, '1.1', 'digest', false, {account},"
        " {account}",
    ),
    "bulk transfers": Kind(
        table="ledger_bulktransfer",
        key="bulk_transfer_id",
        of="payer_id",
        index="bulk_accepted_by_payer",
        find=bulks.past_expiry,
        columns="bulk_transfer_id, bulk_quote_id, payer_id, payee_id, payee_name, state, expires_at, item_count,"
        " reserved_items, ids_used_before, version, digest, request, request_headers",
        values="{id}, {id}, {asker}, {asked}, 'blue', 'ACCEPTED', {past}, 1, 1, '{{}}', '1.1', 'digest', 'body',"
        " '{{}}'",
    ),
    "conversions": Kind(
        table="ledger_fxtransfer",
        key="commit_request_id",
        of="initiator_id",
        index="fx_transfer_live_by_initiator",
        find=conversions.past_end,
        columns="commit_request_id, determining_transfer_id, side, initiator_id, fxp_id, fxp_name, source_currency,"
        " source_amount, target_currency, target_amount, state, condition, expires_at, held_until, version, digest,"
        " debit_account_id, credit_account_id, bridge_account_id",
        values="{id}, {id}, 'PAYER', {asker}, {asked}, 'blue', 'TZS', 1, 'KES', 1, 'RESERVED', '', {past}, {past},"
        " '2.0', 'digest', {account}, {account}, {account}",
    ),
}
each_kind = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
TOLD = {name: kind for name, kind in KINDS.items() if kind.tick is not None}


def told(name: str) -> int:
    return Message.objects.filter(destination__name=name).count()


@pytest.mark.parametrize("name", TOLD)
def test_thousands_of_overdue_questions_of_one_dfsp_keep_no_other_waiting(world: World, name: str) -> None:
    kind = TOLD[name]
    assert kind.tick is not None
    kind.overdue(world, "red", 20_000 if name == "lookups" else 4000, minutes=60)
    kind.overdue(world, "green", 3, minutes=10)
    kind.overdue(world, "grey", 1, minutes=5)
    kind.tick()
    assert (told("green"), told("grey")) == (3, 1)
    assert told("red") >= MOST - 4  # whose own are ended as fast as a tick can
    kind.tick()
    assert told("red") >= 2 * MOST - 4
    assert (told("green"), told("grey")) == (3, 1)


@each_kind
def test_each_participant_has_its_turn_before_any_has_a_second(world: World, kind: Kind) -> None:
    kind.overdue(world, "red", 1000, minutes=60)
    kind.overdue(world, "grey", 3, minutes=5)
    kind.overdue(world, "green", 300, minutes=10)
    found = kind.find(MOST)
    assert len(found) == len(set(found)) == MOST
    owners = dict.fromkeys(found, "")
    for name in ("red", "green", "grey"):
        for key in kind.keys_of(world, name):
            if key in owners:
                owners[key] = name
    turns = list(owners.values())
    assert turns[:9] == ["red", "green", "grey"] * 3
    assert (turns.count("grey"), turns.count("green"), turns.count("red")) == (3, 248, 249)


@each_kind
@pytest.mark.parametrize("counted", ["never", "while it was empty", "now"])
def test_a_tick_reads_no_more_of_anybody_than_it_takes(
    world: World, kind: Kind, counted: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    execute("SET LOCAL statement_timeout = 0")  # of ANALYZE, which reads each quote's message for its alias
    if counted == "while it was empty":
        execute(f"ANALYZE {kind.table}")
    kind.overdue(world, "red", 4000, minutes=60)
    kind.overdue(world, "green", 3, minutes=10)
    if counted == "now":
        execute(f"ANALYZE {kind.table}")
    plan = plan_of(kind, monkeypatch)
    scans = [step for step in plan if step.get("Relation Name") == kind.table]
    assert {step.get("Index Name", step["Node Type"]) for step in scans} == {kind.index}
    assert sum(step["Actual Rows"] * step["Actual Loops"] for step in scans) == MOST + 3
    assert sum(step.get("Rows Removed by Filter", 0) for step in scans) == 0


def plan_of(kind: Kind, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Every step by which the kind's overdue rows are found, as it went."""
    explained: list[Any] = []

    def explain(statement: str, parameters: Any = ()) -> list[tuple[Any, ...]]:
        rows = sql_execution.found_by_keys("EXPLAIN (ANALYZE, FORMAT JSON) " + statement, parameters)
        explained.append(rows[0][0])
        return []

    with monkeypatch.context() as patched:
        patched.setattr(fair_overdue_rows, "found_by_keys", explain)
        kind.find(MOST)
    (found,) = explained

    def steps(step: dict[str, Any]) -> list[dict[str, Any]]:
        return [step, *(below for each in step.get("Plans", []) for below in steps(each))]

    assert connection.connection is not None
    return steps((json.loads(found) if isinstance(found, str) else found)[0]["Plan"])
