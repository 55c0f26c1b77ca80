"""The state of a connector: the same rules in SQLite and in PostgreSQL, and several instances on one PostgreSQL."""

import asyncio
import json
import os
import sqlite3
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import aiohttp
import msgspec
import psycopg
import pytest
from aiohttp import web

from fspiop.errors import FspiopError
from hub.local.net import free_port
from kitovu_connector import (
    Order as PublicOrder,
)
from kitovu_connector import (
    PartyRef,
    StartError,
    event_records,
    instances,
    record_store,
    relay,
    sent_request_ids_upgrade,
    state_schema,
)
from kitovu_connector.bulk_transactions import BulkTransaction, Progress
from kitovu_connector.config import Config, ConfigError, load
from kitovu_connector.conflicts import Conflict
from kitovu_connector.connector import Connector
from kitovu_connector.core_messages import HealthShown
from kitovu_connector.doctor import Verdict, _state
from kitovu_connector.event_records import EventRecord
from kitovu_connector.front_end_conversion_and_bulk_states import Submission
from kitovu_connector.fxp import Conversion, Offer, OfferState
from kitovu_connector.payment_and_quote_records import Incoming, QuoteGiven, Stage, Store
from kitovu_connector.payment_conversion import commit_id
from kitovu_connector.payment_order import Order
from kitovu_connector.payment_record import Payment, State
from kitovu_connector.payments_of_requests import RequestLinks
from kitovu_connector.postgresql_state import PostgresqlDatabase
from kitovu_connector.record_store import Records
from kitovu_connector.request_to_pay_records import RequestMade, RequestOrder, RequestState
from kitovu_connector.sqlite_state import SqliteDatabase
from tests.connector import odd_requests
from tests.connector.hub_stub import PAYEE, Scheme, error, logged, quote, scheme, terms, told, transfer

COMMON = {"dfsp": "green", "ilp_secret": "digest"}


@pytest.fixture
def url() -> Iterator[str]:
    """A schema of its own in the tests' PostgreSQL."""
    base, schema = os.environ["DATABASE_URL"], f"connector_{uuid.uuid4().hex}"
    with psycopg.connect(base, autocommit=True) as conn:
        conn.execute(f"CREATE SCHEMA {schema}")
        yield f"{base}{'&' if '?' in base else '?'}options=-csearch_path%3D{schema}"
        conn.execute(f"DROP SCHEMA {schema} CASCADE")


def payment(home_id: str = "P1", **more: Any) -> Payment:
    party = PartyRef(id_type="MSISDN", id_value=PAYEE)
    order = Order(home_id=home_id, payer=party, payee=party, amount=1, currency="TZS")
    ids = [str(uuid.uuid4()) for _ in range(3)]
    found = Payment(order=order, transfer_id=ids[0], quote_id=ids[1], transaction_id=ids[2], created_at=0.0)
    return msgspec.structs.replace(found, **more)


def incoming(**more: Any) -> Incoming:
    found = Incoming(transfer_id=str(uuid.uuid4()), digest=b"d", payer_fsp="blue", body=b"{}", expires_at=0.0)
    return msgspec.structs.replace(found, **more)


def run(folder: Path, url: str, kind: str, story: Callable[[Store], Awaitable[None]]) -> None:
    async def main() -> None:
        store = Store(SqliteDatabase(folder) if kind == "sqlite" else PostgresqlDatabase(url, COMMON))
        try:
            await story(store)
        finally:
            await store.close()

    asyncio.run(main())


both = pytest.mark.parametrize("kind", ["sqlite", "postgresql"])


# --- the same rules ---------------------------------------------------------------------------------------------------


@both
def test_a_payment_is_stored_once_and_each_step_only_on_the_version_before_it(
    tmp_path: Path, url: str, kind: str
) -> None:
    async def story(store: Store) -> None:
        first = payment()
        assert await store.add_payment(first) == await store.add_payment(msgspec.structs.replace(first)) == first
        other = msgspec.structs.replace(first.order, amount=2)
        with pytest.raises(Conflict):
            await store.add_payment(msgspec.structs.replace(first, order=other))
        with pytest.raises(Conflict):  # the id of another payment's transfer
            await store.add_payment(payment("P2", transfer_id=first.transfer_id))
        quoted = await store.save_payment(first, msgspec.structs.replace(first, state=State.QUOTE))
        assert quoted is not None
        assert (quoted.version, await store.payment("P1")) == (1, quoted)
        assert await store.save_payment(first, msgspec.structs.replace(first, state=State.ABORTED)) is None
        ended = await store.save_payment(quoted, msgspec.structs.replace(quoted, state=State.COMMITTED))
        assert ended is not None
        with pytest.raises((sqlite3.Error, psycopg.Error), match="has ended"):
            await store.save_payment(ended, msgspec.structs.replace(ended, state=State.ABORTED))
        assert await store.payment_of_transfer(first.transfer_id) == ended
        assert await store.payment_of_quote(first.quote_id) == ended
        assert await store.unfinished_payments() == []

    run(tmp_path, url, kind, story)


@both
def test_terms_pay_one_transfer_and_a_stage_is_left_once(tmp_path: Path, url: str, kind: str) -> None:
    async def story(store: Store) -> None:
        given = QuoteGiven(quote_id="q", digest=b"d", request=b"{}", payer_fsp="blue")
        assert [await store.add_quote(given) for _ in range(2)] == [(given, True), (given, False)]
        for changes in ({"digest": b"x"}, {"payer_fsp": "red"}):
            with pytest.raises(Conflict):
                await store.add_quote(msgspec.structs.replace(given, **changes))
        answered = msgspec.structs.replace(given, answer=b"{}", condition="c")
        assert await store.save_quote(answered)
        assert (await store.quote_of_condition("c"), await store.unfinished_quotes()) == (answered, [answered])
        one, two = incoming(), incoming()
        assert await store.add_incoming(one) == (one, True)
        assert await store.add_incoming(one) == (one, False)
        with pytest.raises(Conflict):
            await store.add_incoming(msgspec.structs.replace(one, digest=b"x"))
        await store.add_incoming(two)
        assert [await store.claim_quote(each.transfer_id, "q") for each in (one, one, two)] == [True, True, False]
        fulfilled = msgspec.structs.replace(one, stage=Stage.FULFILLED)
        assert [await store.save_incoming(one, fulfilled) for _ in range(2)] == [True, False]
        await store.save_quote(msgspec.structs.replace(answered, is_taken=True))
        assert await store.delete_old_quotes(time.time() + 60, 10) == 0  # an open transfer needs it
        ended = msgspec.structs.replace(one, stage=Stage.COMMITTED)
        assert await store.save_incoming(fulfilled, ended)
        with pytest.raises((sqlite3.Error, psycopg.Error), match="has ended"):
            await store.save_incoming(ended, msgspec.structs.replace(one, stage=Stage.ABORTED))
        assert await store.delete_old_quotes(time.time() + 60, 10) == 1
        assert sorted(await store.counts()) == [("in", "COMMITTED", 1), ("in", "RECEIVED", 1)]

    run(tmp_path, url, kind, story)


@both
def test_a_record_is_found_by_id_and_alias_and_its_alias_is_no_others(tmp_path: Path, url: str, kind: str) -> None:
    async def story(store: Store) -> None:
        offers = Records(store.database, "conversion_offer", Offer)
        one, two = (Offer(id=name, source="blue", body=b"", digest=name.encode()) for name in "12")
        assert await offers.add(one) == (one, True)
        assert await offers.add(one) == (one, False)
        await offers.add(two)
        with pytest.raises(Conflict):
            await offers.add(msgspec.structs.replace(one, digest=b"x"))
        named = msgspec.structs.replace(one, alias="c")
        assert await offers.save(one, named)
        with pytest.raises(Conflict):
            await offers.save(two, msgspec.structs.replace(two, alias="c"))
        assert await offers.of_alias("c") == await offers.get("1") == await offers.own("1") == named
        ended = msgspec.structs.replace(named, state=OfferState.ANSWERED)
        assert [await offers.save(named, ended) for _ in range(2)] == [True, False]
        assert [found.id for found in await offers.unfinished()] == ["2"]

    run(tmp_path, url, kind, story)


@both
def test_the_octets_of_one_senders_records_are_limited_until_the_records_are_deleted(
    tmp_path: Path, url: str, kind: str
) -> None:
    async def story(store: Store) -> None:
        offers = Records(store.database, "conversion_offer", Offer)

        async def add(name: str, sender: str, octets: int) -> bool:
            new = Offer(id=name, source=sender, body=b"{}", digest=b"d", state=OfferState.ANSWERED)
            return (await offers.add_counted(new, sender=sender, octets=octets, most=100))[1]

        assert await add("first", "red", 60)
        with pytest.raises(FspiopError, match="2005"):
            await add("second", "red", 41)
        assert await offers.get("second") is None
        assert not await add("first", "red", 60)  # a repetition
        assert await add("second", "red", 40)
        assert await add("third", "blue", 100)
        deleting = asyncio.create_task(offers.delete_old(-60.0))
        while await offers.get("third") is not None:
            await asyncio.sleep(0.01)
        deleting.cancel()
        assert await add("fourth", "red", 100)

    run(tmp_path, url, kind, story)


@both
def test_the_octets_of_one_senders_quotes_are_limited_until_the_quotes_are_deleted(
    tmp_path: Path, url: str, kind: str
) -> None:
    async def story(store: Store) -> None:
        async def add(name: str, sender: str, octets: int) -> bool:
            request = b"x" * octets
            new = QuoteGiven(quote_id=name, digest=b"d", request=request, payer_fsp=sender, is_taken=True)
            return (await store.add_quote(new, most=100))[1]

        assert await add("first", "red", 60)
        with pytest.raises(FspiopError, match="2005"):
            await add("second", "red", 41)
        assert await store.quote("second") is None
        assert not await add("first", "red", 60)  # a repetition
        assert await add("second", "red", 40)
        assert await add("third", "blue", 100)
        of_a_bulk = QuoteGiven(quote_id="fourth", digest=b"d", request=b"x", payer_fsp="red", is_taken=True)
        assert (await store.add_quote(of_a_bulk))[1]  # the bulk's own octets count
        assert await store.delete_old_quotes(time.time() + 60, 10) == 4
        assert await add("fifth", "red", 100)

    run(tmp_path, url, kind, story)


@both
def test_lists_go_on_after_any_place_in_the_order_of_changes(tmp_path: Path, url: str, kind: str) -> None:
    async def story(store: Store) -> None:
        # Capital letters, digits and small letters have an order in SQLite that is not that of a language.
        names = [f"{letter}{number}" for number in range(3) for letter in "aBz-Z"]
        await asyncio.gather(*(store.add_payment(payment(name)) for name in names))
        found: list[str] = []
        since, after = 0.0, ""
        while rows := await store.payments(since, after, state=None, limit=4):
            found += [each.order.home_id for _, each in rows]
            since, after = rows[-1][0], rows[-1][1].order.home_id
        assert sorted(found) == sorted(names)
        assert await store.payments(0.0, "", state="QUOTE", limit=4) == []

    run(tmp_path, url, kind, story)


# --- upgrades ---------------------------------------------------------------------------------------------------------


def test_a_state_that_an_earlier_connector_has_left_is_upgraded_and_continued(tmp_path: Path) -> None:
    left = payment()
    with sqlite3.connect(tmp_path / "connector.sqlite3") as conn:
        conn.executescript(state_schema.UPGRADES[0] + state_schema.SQLITE_ONLY)
        values = ("P1", left.transfer_id, left.quote_id, b"", "LOOKUP", 1, msgspec.json.encode(left), 1.0)
        conn.execute("INSERT INTO payment VALUES (?, ?, ?, ?, ?, ?, ?, ?)", values)
    conn.close()

    async def main() -> None:
        for _ in range(2):
            store = Store(tmp_path)
            (found,) = await store.unfinished_payments()
            assert await store.save_payment(found, msgspec.structs.replace(found, tries=found.tries + 1)) is not None
            await store.close()
        assert found.version == 1

    asyncio.run(main())


def bulk_sent(items: list[str]) -> Submission:
    return Submission(
        id=str(uuid.uuid4()),
        resource="bulkTransfers",
        body=b"",
        digest=b"",
        destination="blue",
        expires_at=0.0,
        conditions=dict.fromkeys(items, "condition"),
        created_at=0.0,
    )


@both
def test_another_dfsp_cannot_use_the_ids_of_a_bulk_that_an_earlier_connector_has_sent(
    tmp_path: Path, url: str, kind: str
) -> None:
    async def main() -> None:
        async with scheme(tmp_path, "signatures", **({} if kind == "sqlite" else {"state": url})) as world:
            item = str(uuid.uuid4())
            database = world.connector._store.database
            await Records(database, "bulkTransfers", Submission).add(bulk_sent([item]))
            await database.write(lambda conn: conn.execute("DELETE FROM exchange WHERE kind IN ('own_id', 'own_ids')"))
            await world.stop()
            await world.start()
            assert await world.straight("POST", "/transfers", transfer(terms(), transferId=item), "blue") == 400

    asyncio.run(main())


@both
def test_the_ids_of_earlier_requests_are_stored_once_in_pages(
    tmp_path: Path, url: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After an interruption, the next start continues. Later starts read none of the requests again."""
    items = [str(uuid.uuid4()) for _ in range(25)]
    bulks = [bulk_sent(items[begin : begin + 2]) for begin in range(0, 25, 2)]
    conversion = msgspec.structs.replace(bulk_sent([]), resource="fxTransfers")
    paid = payment()
    order = msgspec.structs.replace(paid.order, home_id="P2", may_convert=True)
    converted = payment("P2", order=order)

    async def left_by_an_earlier_connector(store: Store) -> None:
        for sent in (*bulks, conversion):
            await Records(store.database, sent.resource, Submission).add(sent)
        for each in (paid, converted):
            await store.add_payment(each)
        on_us = incoming(transfer_id=items[0], payer_fsp="green")
        assert await store.add_incoming(on_us, may_be_own=True) == (on_us, True)

    run(tmp_path, url, kind, left_by_an_earlier_connector)
    pages: list[int] = []

    def stopped_after(most: int) -> Callable[..., None]:
        kept = sent_request_ids_upgrade._store

        def store(conn: Any, **page: Any) -> None:
            if len(pages) == most:
                raise OSError("stopped")
            pages.append(1)
            kept(conn, **page)

        return store

    async def interrupted(store: Store) -> None:
        with pytest.raises(OSError, match="stopped"):
            await sent_request_ids_upgrade.claim_all(store.database)

    async def started(store: Store) -> None:
        await sent_request_ids_upgrade.claim_all(store.database)
        own = [each.id for each in (*bulks, conversion)] + items + [commit_id(converted)]
        for one in own:
            with pytest.raises(Conflict):
                await store.check_is_not_own(one)
        await store.check_is_not_own(commit_id(paid), str(uuid.uuid4()))
        with pytest.raises(Conflict):
            await store.add_incoming(incoming(transfer_id=items[-1]))

    with monkeypatch.context() as patched:
        patched.setattr(sent_request_ids_upgrade, "_store", stopped_after(1))
        run(tmp_path, url, kind, interrupted)
    with monkeypatch.context() as patched:
        patched.setattr(sent_request_ids_upgrade, "_store", stopped_after(1000))
        run(tmp_path, url, kind, started)
        assert len(pages) == 7  # two pages of bulks, one of conversions, one of payments, and the three ends
        run(tmp_path, url, kind, started)
        assert len(pages) == 7


@both
def test_the_state_of_a_newer_connector_is_left_alone(tmp_path: Path, url: str, kind: str) -> None:
    async def nothing(_: Store) -> None: ...

    run(tmp_path, url, kind, nothing)
    if kind == "sqlite":
        with sqlite3.connect(tmp_path / "connector.sqlite3") as conn:
            conn.execute("PRAGMA user_version = 99")
        conn.close()
    else:
        with psycopg.connect(url) as other:
            other.execute("UPDATE setting SET value = '99' WHERE name = 'version'")
    with pytest.raises(StartError, match="a newer connector"):
        run(tmp_path, url, kind, nothing)


def made(home_id: str = "R1") -> RequestMade:
    party = PartyRef(id_type="MSISDN", id_value=PAYEE)
    order = RequestOrder(
        home_id=home_id, payer=party, payee=party, amount=1, currency="TZS", amount_type="SEND", scenario="PAYMENT"
    )
    return RequestMade(id=str(uuid.uuid4()), order=order, digest=b"", created_at=0, state=RequestState.ASKED)


@both
def test_an_event_is_stored_with_the_end_that_it_reports(tmp_path: Path, url: str, kind: str) -> None:
    async def story(store: Store) -> None:
        store.database.describe = event_records.describe
        events = Records(store.database, "event", EventRecord)
        requests = Records(store.database, "request_to_pay_made", RequestMade)
        first = await store.add_payment(payment())
        assert await store.save_payment(first, msgspec.structs.replace(first, state=State.QUOTE)) is not None
        quoted = await store.payment("P1")
        assert quoted is not None
        assert await events.oldest_open(10) == []
        assert await store.save_payment(first, msgspec.structs.replace(first, state=State.ABORTED)) is None
        assert await events.oldest_open(10) == []  # the step was not stored
        await store.save_payment(quoted, msgspec.structs.replace(quoted, state=State.ABORTED))
        sent, _ = await store.add_incoming(incoming(body=json.dumps(transfer(terms())).encode()))
        for _ in range(2):  # the second changes nothing
            await store.save_incoming(sent, msgspec.structs.replace(sent, stage=Stage.REJECTED))
        asked, _ = await requests.add(made())
        answered = msgspec.structs.replace(asked, state=RequestState.ANSWERED, answer="REJECTED")
        assert await requests.save(asked, answered)
        assert not await requests.save(asked, msgspec.structs.replace(asked, state=RequestState.FAILED))
        assert [event.id for _, event in await events.oldest_open(10)] == [
            f"payment.ended/{first.transfer_id}",
            f"transfer.ended/{sent.transfer_id}/ABORTED",
            f"request.answered/{asked.id}/REJECTED",
        ]
        assert all(0 <= age < 60 for age, _ in await events.oldest_open(10))
        told = (await events.oldest_open(10))[0][1]
        assert await events.save(told, msgspec.structs.replace(told, state="DELIVERED"))
        assert len(await events.oldest_open(10)) == 2
        assert [found.id for found in await requests_after(requests, 0.0, "")] == [asked.id]

    run(tmp_path, url, kind, story)


async def requests_after(requests: Records[RequestMade], since: float, after: str) -> list[RequestMade]:
    return [found for _, found in await requests.changed_since(since, after, suffix="/IN", limit=10)]


@both
def test_lists_of_records_go_on_after_any_place_in_the_order_of_changes(tmp_path: Path, url: str, kind: str) -> None:
    async def story(store: Store) -> None:
        requests = Records(store.database, "request_to_pay_made", RequestMade)
        for number in range(5):
            await requests.add(made(f"R{number}"))
        await store.database.write(lambda conn: conn.execute("UPDATE exchange SET changed_at = 7"))
        listed = await requests.changed_since(7.0, "", suffix="/IN", limit=10)
        ids = sorted(found.id for _, found in listed)
        assert [(at, found.id) for at, found in listed] == [(7.0, found) for found in ids]
        for place in range(5):
            assert [found.id for found in await requests_after(requests, 7.0, f"{ids[place]}/IN")] == ids[place + 1 :]

    run(tmp_path, url, kind, story)


@both
def test_two_changes_of_one_record_at_once_are_both_kept(tmp_path: Path, url: str, kind: str) -> None:
    async def story(store: Store) -> None:
        requests = Records(store.database, "request_to_pay_made", RequestMade)
        asked, _ = await requests.add(made())
        await asyncio.gather(
            requests.amend(asked.id, lambda now: msgspec.structs.replace(now, password="1")),
            requests.amend(asked.id, lambda now: msgspec.structs.replace(now, password_asker="blue")),
        )
        kept = msgspec.structs.replace(asked, password="1", password_asker="blue")
        assert await requests.get(asked.id) == kept
        assert await requests.amend("none", lambda now: now) is None

    run(tmp_path, url, kind, story)


def test_events_that_are_delivered_cost_the_next_look_nothing(tmp_path: Path) -> None:
    async def story(store: Store) -> None:
        asked: list[str] = []
        reader = cast(sqlite3.Connection, store.database.new_reader())
        store.database._listers._idle.append(cast(Any, reader))
        reader.set_trace_callback(asked.append)
        await Records(store.database, "event", EventRecord).oldest_open(10)
        received = Records(store.database, "conversion_received", Conversion)
        await received.changed_since(7.0, "", suffix="/FXP", limit=10)
        reader.set_trace_callback(None)
        asked.append(record_store.DELETE_OLD.replace("?", "1"))
        plans = [[row["detail"] for row in reader.execute(f"EXPLAIN QUERY PLAN {sql}").fetchall()] for sql in asked]
        assert plans[0] == ["SEARCH exchange USING INDEX exchange_due (kind=? AND owner=?)"]  # and no sorting
        # SQLite finds the record of a page by its primary key.
        assert any("exchange_ended (kind=? AND changed_at<?)" in line for line in plans[2])
        assert plans[1][0] == "SEARCH exchange USING INDEX exchange_by_change (kind=? AND changed_at>?)"

    run(tmp_path, "", "sqlite", story)


def test_in_postgresql_old_and_waiting_records_are_found_by_an_index(url: str) -> None:
    async def main() -> None:
        database = PostgresqlDatabase(url, COMMON)
        try:
            with psycopg.connect(url, autocommit=True) as conn:
                conn.execute(
                    "INSERT INTO exchange (kind, id, digest, state, is_open, record, changed_at, owner)"
                    " SELECT 'event', n::text, '', 's', n % 2, '', n + 10000 * (1 - n % 2), 'other'"
                    " FROM generate_series(1, 5000) n"
                )
                conn.execute(
                    "INSERT INTO relayed (sender, message, changed_at)"
                    " SELECT 's', '', 9e9 FROM generate_series(1, 5000)"
                )
                conn.execute("ANALYZE exchange, relayed")
                plans = [
                    "\n".join(row[0] for row in conn.execute(f"EXPLAIN {sql.replace('?', '%s')}".encode(), values))
                    for sql, values in (
                        (record_store.OLDEST_OPEN, ("event", "me", 10)),
                        (record_store.DELETE_OLD, ("event", 10_009.0, 100)),
                        (relay.DELETE_OLD, (60.0,)),
                    )
                ]
        finally:
            database.disconnect()
        for plan, index in zip(plans, ("exchange_due", "exchange_ended", "relayed_by_age"), strict=True):
            assert index in plan, plan

    asyncio.run(main())


# --- several instances ------------------------------------------------------------------------------------------------


def test_another_dfsp_or_another_secret_is_refused(url: str) -> None:
    PostgresqlDatabase(url, COMMON).disconnect()
    for name in COMMON:
        with pytest.raises(StartError, match=f"another {name}"):
            PostgresqlDatabase(url, COMMON | {name: "x"})


def test_a_database_that_cannot_be_used_is_one_clear_line_without_the_password(tmp_path: Path) -> None:
    away = f"postgresql://green:s3cret@127.0.0.1:{free_port()}/x"
    config = Config(dfsp="green", hub_url="http://x", state=away, ilp_secret="s" * 16)
    assert "s3cret" not in repr(config)
    with pytest.raises(StartError) as caught:
        PostgresqlDatabase(away, COMMON)
    assert str(caught.value).startswith("state: PostgreSQL: ")
    assert "\n" not in str(caught.value)
    assert "s3cret" not in str(caught.value)
    assert _state(config).verdict is Verdict.FAULT
    (tmp_path / "connector.toml").write_text(f'dfsp = "green"\nhub_url = "http://x"\nstate = "{away}"\n')
    assert load(tmp_path / "connector.toml", {"CONNECTOR_ILP_SECRET": "s" * 16}, {}).state == away
    assert load(None, {}, {"dfsp": "g", "hub_url": "http://x", "state": "s", "ilp_secret": "s" * 16}).state == (
        Path.cwd() / "s"
    )
    with pytest.raises(ConfigError, match="state must be"):
        replace(config, state="mysql://x")


def test_a_database_that_works_is_fine_for_the_doctor(url: str) -> None:
    assert _state(Config(dfsp="g", hub_url="http://x", state=url, ilp_secret="s" * 16)).verdict is Verdict.OK


@asynccontextmanager
async def two(url: str) -> Any:
    stores = [Store(PostgresqlDatabase(url, COMMON)) for _ in range(2)]
    for store in stores:
        await store.database.write(partial(instances._renew, store.database))
    yield stores
    for store in stores:
        await store.close()


def test_two_instances_never_store_two_steps_on_one_version(url: str) -> None:
    async def main() -> None:
        async with two(url) as stores:
            await stores[0].add_payment(payment())
            stored: list[bool] = []

            async def take_steps(store: Store) -> None:
                for _ in range(40):
                    found = await store.payment("P1")
                    assert found is not None
                    after = msgspec.structs.replace(found, tries=found.tries + 1)
                    stored.append(await store.save_payment(found, after) is not None)

            await asyncio.gather(*(take_steps(store) for store in stores for _ in range(3)))
            found = await stores[0].payment("P1")
            assert found is not None
            assert sum(stored) == found.tries == found.version >= 40

    asyncio.run(main())


def test_what_an_instance_leaves_is_taken_over_when_its_lease_ends_and_not_before(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(instances, "LEASE_S", 0.5)

    async def main() -> None:
        async with two(url) as (one, other):
            given = QuoteGiven(quote_id="q", digest=b"d", request=b"{}", payer_fsp="blue")
            offers = [Records(store.database, "conversion_offer", Offer) for store in (one, other)]
            await one.add_payment(payment())
            await one.add_quote(given)
            await one.add_incoming(kept := incoming())
            await one.add_incoming(over := incoming(stage=Stage.REJECTING))
            await one.save_incoming(over, msgspec.structs.replace(over, stage=Stage.REJECTED))
            await offers[0].add(Offer(id="o", source="blue", body=b"", digest=b""))
            renew = partial(instances._renew, other.database)
            assert await other.database.write(renew) == 0
            assert await other.own_payment("P1") is None
            assert (await other.unfinished_quotes(), await offers[1].unfinished()) == ([], [])
            await asyncio.sleep(0.6)
            assert await other.database.write(renew) == 4
            assert [found.transfer_id for found in await other.unfinished_incoming()] == [kept.transfer_id]
            assert await other.own_payment("P1") is not None
            assert (await one.own_payment("P1"), await offers[0].own("o")) == (None, None)
            assert await one.unfinished_incoming() == []
            assert not await one.save_quote(msgspec.structs.replace(given, answer=b"{}"))  # it was only slow

    asyncio.run(main())


def test_an_instance_tells_the_core_its_own_events_and_those_it_takes_over(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(instances, "LEASE_S", 0.5)

    async def main() -> None:
        async with two(url) as (one, other):
            for store in (one, other):
                store.database.describe = event_records.describe
            events = [Records(store.database, "event", EventRecord) for store in (one, other)]
            first = await one.add_payment(payment())
            await one.save_payment(first, msgspec.structs.replace(first, state=State.ABORTED))
            assert [len(await each.oldest_open(10)) for each in events] == [1, 0]
            await asyncio.sleep(0.6)
            await other.database.write(partial(instances._renew, other.database))
            assert [len(await each.oldest_open(10)) for each in events] == [0, 1]

    asyncio.run(main())


def test_an_instance_without_a_webhook_takes_no_events_over(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(instances, "LEASE_S", 0.5)

    async def main() -> None:
        async with two(url) as (one, other):
            one.database.describe = event_records.describe
            first = await one.add_payment(payment())
            await one.save_payment(first, msgspec.structs.replace(first, state=State.ABORTED))
            await one.add_payment(payment("P2"))
            await asyncio.sleep(0.6)
            assert await other.database.write(partial(instances._renew, other.database)) == 1  # the payment
            assert await other.waiting_events() == 1
            third = Store(PostgresqlDatabase(url, COMMON))
            third.database.describe = event_records.describe
            assert await third.database.write(partial(instances._renew, third.database)) == 1
            events = await Records(third.database, "event", EventRecord).oldest_open(10)
            assert [event.id for _, event in events] == [f"payment.ended/{first.transfer_id}"]
            await third.close()

    asyncio.run(main())


def test_an_instance_without_a_webhook_does_not_start_beside_one_that_has_it(tmp_path: Path, url: str) -> None:
    async def story(world: Scheme, second: Connector) -> None:
        with pytest.raises(StartError, match="neither webhook_url nor a handler"):
            async with beside(world, webhook_url=""):
                pass
        silent = replace(world.config, inbound_port=free_port(), outbound_port=free_port(), webhook_url="")
        third = Connector(silent, world.core)

        async def handler(_: Any) -> None: ...

        third.on_event(handler)
        async with third:  # it has another way to send events
            pass

    tell(tmp_path, url, story, webhook_url="http://127.0.0.1:9/", webhook_secret=f"whsec_{'A' * 44}")


def test_a_takeover_is_taken_in_parts_and_reads_one_record_of_each_owner(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(instances, "TAKEN_AT_ONCE", 1000)

    async def main() -> None:
        async with two(url) as (one, other):
            with psycopg.connect(url, autocommit=True) as conn:
                conn.execute(
                    "INSERT INTO exchange (kind, id, digest, state, is_open, record, changed_at, owner)"
                    " SELECT 'conversion_offer', n::text, '', 's', 1, '', n, %s FROM generate_series(1, 5000) n",
                    (one.database.instance,),
                )
                conn.execute(
                    "INSERT INTO payment (home_id, transfer_id, quote_id, digest, state, is_open, record, changed_at,"
                    " owner) SELECT n::text, n::text, n::text, '', 'LOOKUP', 1, '', n, %s"
                    " FROM generate_series(1, 5000) n",
                    (one.database.instance,),
                )
                conn.execute("ANALYZE exchange, payment")
                renew = partial(instances._renew, other.database)
                assert await other.database.write(renew) == 0
                for table in ("payment", "exchange"):
                    sql = instances._ORPHANS[table].replace("?", "%s").encode()
                    lines = [row[0] for row in conn.execute(b"EXPLAIN (ANALYZE, TIMING OFF) " + sql, ("me",))]
                    plan = "\n".join(lines)
                    assert f"{table}_due" in plan, plan
                    assert f"Seq Scan on {table}" not in plan, plan
                conn.execute("DELETE FROM instance WHERE id = %s", (one.database.instance,))
            assert [await other.database.write(renew) for _ in range(11)] == [1000] * 10 + [0]

    asyncio.run(main())


def test_a_record_that_cannot_be_read_keeps_no_other_from_going_on(tmp_path: Path, url: str) -> None:
    async def story(store: Store) -> None:
        offers = Records(store.database, "conversion_offer", Offer)
        for name in "12":
            await store.add_payment(payment(name))
            await offers.add(Offer(id=name, source="blue", body=b"", digest=b""))
        newer = b'{"state": "A state of the next version"}'

        def job(conn: Any) -> None:
            conn.execute("UPDATE payment SET record = ? WHERE home_id = '1'", (newer,))
            conn.execute("UPDATE exchange SET record = ? WHERE id = '1'", (newer,))

        await store.database.write(job)
        assert [found.order.home_id for found in await store.unfinished_payments()] == ["2"]
        assert [found.id for found in await offers.unfinished()] == ["2"]

    run(tmp_path, url, "sqlite", story)


@both
def test_a_statement_that_takes_long_delays_no_other_answer(tmp_path: Path, url: str, kind: str) -> None:
    """Before, the event loop ran the reads of single records itself, and each waited up to two seconds."""

    async def story(store: Store) -> None:
        answers: list[float] = []

        async def answer_others() -> None:
            while True:
                began = time.monotonic()
                await asyncio.sleep(0.01)
                answers.append(time.monotonic() - began)

        await store.add_payment(payment("P1"))
        answering = asyncio.create_task(answer_others())
        with holding(tmp_path, url, kind, "payment"):
            waiting = asyncio.create_task(reads_and_writes(store, kind))
            await asyncio.sleep(1.0)
            assert not waiting.done()
            assert await asyncio.wait_for(store.incoming("none"), 0.5) is None  # which another thread reads
        await waiting
        answering.cancel()
        assert len(answers) >= 50
        assert max(answers) < 0.4

    run(tmp_path, url, kind, story)


async def reads_and_writes(store: Store, kind: str) -> None:
    """What waits for the lock: in SQLite only a write."""
    found = payment("P1")
    if kind == "postgresql":
        await asyncio.gather(store.payment("P1"), store.payment_of_quote(found.quote_id))
    await store.add_payment(payment("P2"))


@contextmanager
def holding(folder: Path, url: str, kind: str, table: str) -> Iterator[None]:
    """Another program's lock, for at most 1.5 s."""
    if kind == "sqlite":
        conn = sqlite3.connect(folder / "connector.sqlite3", isolation_level=None)
        conn.execute("BEGIN IMMEDIATE")
        try:
            yield
        finally:
            conn.rollback()
            conn.close()
        return
    with psycopg.connect(url) as other:
        other.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE".encode())
        yield
        other.rollback()


def test_a_count_of_all_records_does_not_hold_up_the_event_loop(url: str) -> None:
    async def main() -> None:
        async with two(url) as (one, _):
            with psycopg.connect(url) as other:
                other.execute("LOCK TABLE incoming IN ACCESS EXCLUSIVE MODE")
                counting = asyncio.create_task(one.counts())
                began = time.monotonic()
                await asyncio.sleep(0.2)
                assert await one.payments(0.0, "", state=None, limit=10) == []  # nor a list
                assert time.monotonic() - began < 1.5
                assert not counting.done()
                other.rollback()
            assert await counting == []

    asyncio.run(main())


def test_a_database_that_does_not_answer_does_not_hold_up_the_event_loop(url: str) -> None:
    async def main() -> None:
        silent = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
        port = silent.sockets[0].getsockname()[1]
        async with two(url) as (one, _):
            one.database._reader_url = f"postgresql://127.0.0.1:{port}/x?connect_timeout=2"
            began = time.monotonic()
            reading = [asyncio.create_task(one.payment("P1")) for _ in range(8)]
            await asyncio.sleep(0.05)
            assert time.monotonic() - began < 0.5
            errors = await asyncio.gather(*reading, return_exceptions=True)
            assert all(isinstance(error, psycopg.OperationalError) for error in errors)
            assert time.monotonic() - began < 4  # four threads wait, and the further reads fail at once
        silent.close()

    asyncio.run(main())


def test_a_notification_of_another_program_is_ignored_and_the_next_is_heard(url: str) -> None:
    async def main() -> None:
        async with two(url) as (one, other):
            heard: list[tuple[str, str]] = []
            other.database.listen(lambda topic, key: heard.append((topic, key)))
            await until(lambda: heard == [("", "")])
            with psycopg.connect(url, autocommit=True) as conn:
                for payload in ("", "x", "x y", "x  y"):
                    conn.execute("SELECT pg_notify(%s, %s)", (other.database._channel, payload))
            found = await one.add_payment(payment())
            await one.save_payment(found, msgspec.structs.replace(found, tries=1))
            await until(lambda: heard[1:] == [("payment", "P1")])

    asyncio.run(main())


def test_transfers_of_one_request_that_arrive_at_two_instances_are_all_noted(url: str) -> None:
    async def main() -> None:
        async with two(url) as stores:
            links = [RequestLinks(store) for store in stores]
            ids = [str(uuid.uuid4()) for _ in range(20)]
            await asyncio.gather(*(links[number % 2].add("r", found) for number, found in enumerate(ids)))
            await links[0].add("r", ids[0])
            assert sorted(await links[1].transfers_of("r")) == sorted(ids)

    asyncio.run(main())


def test_an_instance_hears_the_changes_of_the_others(url: str) -> None:
    async def main() -> None:
        async with two(url) as (one, other):
            heard: list[tuple[str, str]] = []
            other.database.listen(lambda topic, key: heard.append((topic, key)))
            await until(lambda: heard == [("", "")])
            found = await one.add_payment(payment("with a space"))
            await one.save_payment(found, msgspec.structs.replace(found, tries=1))
            await until(lambda: heard[1:] == [("payment", "with a space")])
            found = await other.add_payment(payment())
            await other.save_payment(found, msgspec.structs.replace(found, tries=1))
            await one.add_incoming(sent := incoming())
            await one.save_incoming(sent, msgspec.structs.replace(sent, stage=Stage.FULFILLING))
            await until(lambda: heard[2:] == [("incoming", sent.transfer_id)])

    asyncio.run(main())


def test_connections_that_are_lost_are_made_again(url: str) -> None:
    name = f"lost-{uuid.uuid4()}"  # other tests have connections of their own at the same time

    async def main() -> None:
        async with two(f"{url}&application_name={name}") as (one, _):
            heard: list[tuple[str, str]] = []
            one.database.listen(lambda topic, key: heard.append((topic, key)))
            await until(lambda: heard == [("", "")])
            await one.add_payment(payment())
            with psycopg.connect(url, autocommit=True) as conn:
                conn.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
                    " AND application_name = %s",
                    (name,),
                )
            assert await one.payment("P1") is not None
            await one.add_payment(payment("P2"))
            await until(lambda: heard == [("", "")] * 2)  # what was notified meanwhile is looked for

    asyncio.run(main())


def test_an_id_that_postgresql_cannot_hold_is_refused(url: str) -> None:
    async def main() -> None:
        async with two(url) as (one, _):
            with pytest.raises(FspiopError):
                await one.add_payment(payment("a\0b"))
            assert await one.unfinished_payments() == []

    asyncio.run(main())


@pytest.mark.thorough
def test_an_instance_that_stops_in_the_middle_of_a_commit_holds_the_others_up_for_seconds_only(url: str) -> None:
    async def main() -> None:
        async with two(url) as (one, other):
            one.database.begin()
            began = time.monotonic()
            await other.add_payment(payment())
            assert 1.0 < time.monotonic() - began < 6.0

    asyncio.run(main())


async def until(holds: Callable[[], Any]) -> None:
    for _ in range(300):
        if holds():
            return
        await asyncio.sleep(0.02)
    raise AssertionError("it never came so")


# --- two connectors ---------------------------------------------------------------------------------------------------


@asynccontextmanager
async def beside(world: Scheme, **more: Any) -> Any:
    """A second instance of green's connector. From now on everything of the hub arrives there."""
    ports = {"inbound_port": free_port(), "outbound_port": free_port()}
    config = replace(world.config, **(ports | more))
    async with Connector(config, world.core) as second:
        first, world.config = world.config, config
        try:
            yield second
        finally:
            world.config = first


def tell(folder: Path, url: str, story: Callable[[Scheme, Connector], Awaitable[None]], **more: Any) -> None:
    asyncio.run(telling(folder, url, story, **more))


async def telling(folder: Path, url: str, story: Callable[[Scheme, Connector], Awaitable[None]], **more: Any) -> None:
    settings = {"state": url, "agree_s": 5.0, "ask_again_s": 4.0, "callback_s": 3.0}
    async with scheme(folder, "signatures", **(settings | more)) as world, beside(world) as second:
        await story(world, second)


def test_callbacks_at_another_instance_wake_what_waits_in_this_one(tmp_path: Path, url: str) -> None:
    async def story(world: Scheme, second: Connector) -> None:
        began = time.monotonic()
        found = await world.connector.lookup("MSISDN", PAYEE)
        assert found.fsp_id == "blue"
        world.state = "COMMITTED"
        order = PublicOrder(
            home_id="P1",
            payer=PartyRef(id_type="MSISDN", id_value="255712001001"),
            payee=PartyRef(id_type="MSISDN", id_value=PAYEE),
            amount="100",
            currency="TZS",
        )
        quoted = await world.connector.quote(order)
        assert quoted.state is State.AGREED
        paying = asyncio.create_task(second.confirm("P1"))  # at the other instance
        await world.until("POST", "/transfers")
        waiting = asyncio.create_task(world.connector.confirm("P1"))
        assert await world.hub_says("PUT", f"/transfers/{quoted.transfer_id}", told("COMMITTED")) == 200
        assert {(await task).state for task in (paying, waiting)} == {State.COMMITTED}
        assert world.count("POST", "/transfers") == 1
        assert time.monotonic() - began < 4  # nothing waited until it was asked for again

    tell(tmp_path, url, story)


def test_a_payment_that_is_confirmed_here_and_cancelled_there_is_sent_or_cancelled_and_never_both(
    tmp_path: Path, url: str
) -> None:
    async def story(world: Scheme, second: Connector) -> None:
        party = PartyRef(id_type="MSISDN", id_value="255712001001")
        payee = PartyRef(id_type="MSISDN", id_value=PAYEE)
        order = PublicOrder(home_id="", payer=party, payee=payee, amount="100", currency="TZS")
        outcomes = set()
        for number in range(8):
            home_id = f"P{number}"
            quoted = await world.connector.quote(msgspec.structs.replace(order, home_id=home_id))
            assert quoted.state is State.AGREED
            cancelling = asyncio.create_task(second.cancel(home_id)) if number % 2 else None
            confirming = asyncio.create_task(world.connector._payer.confirm(home_id))
            cancelling = cancelling or asyncio.create_task(second.cancel(home_id))
            await asyncio.gather(confirming, cancelling, return_exceptions=True)
            await asyncio.sleep(0.1)
            found = await second._store.payment(home_id)
            assert found is not None
            sent = [body for body in world.bodies("POST", "/transfers") if body["transferId"] == found.transfer_id]
            assert (found.state is State.ABORTED) is (sent == []) is (cancelling.exception() is None), found
            outcomes.add(found.state)
        assert State.ABORTED in outcomes

    tell(tmp_path, url, story)


def test_a_report_at_another_instance_credits_once(tmp_path: Path, url: str) -> None:
    async def story(world: Scheme, second: Connector) -> None:
        there, world.config = world.config, replace(world.config, inbound_port=world.connector._config.inbound_port)
        asked = quote()
        assert await world.hub_passes_on("POST", "/quotes", asked) == 202
        await world.until("PUT", f"/quotes/{asked['quoteId']}")
        body = transfer(world.bodies("PUT", f"/quotes/{asked['quoteId']}")[0])
        assert await world.hub_passes_on("POST", "/transfers", body) == 202
        path = f"/transfers/{body['transferId']}"
        await world.until("PUT", path)
        world.config = there
        for _ in range(2):
            assert await world.hub_says("PATCH", path, told("COMMITTED")) == 200
        await until(lambda: world.core.credited)
        assert await world.hub_passes_on("POST", "/transfers", body) == 202  # the same again, to the other
        await asyncio.sleep(0.3)
        assert world.core.credited == [body["transferId"]]
        assert len(world.core.reserved) == 1

    tell(tmp_path, url, story)


def test_an_end_at_another_instance_is_told_once(tmp_path: Path, url: str) -> None:
    reported: list[str] = []

    async def story(world: Scheme, second: Connector) -> None:
        payment = await world.pay("P1")  # at the first; everything of the hub arrives at the second
        assert await world.hub_says("PUT", f"/transfers/{payment.transfer_id}", told("COMMITTED")) == 200
        await world.ended("P1")
        await until(lambda: reported)
        await asyncio.sleep(1.2)
        assert reported == [f"payment.ended/{payment.transfer_id}"]

    async def take(request: web.Request) -> web.Response:
        reported.append((await request.json())["id"])
        return web.Response()

    async def main() -> None:
        port, app = free_port(), web.Application()
        app.router.add_post("/", take)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        more = {"webhook_url": f"http://127.0.0.1:{port}/", "webhook_secret": f"whsec_{'A' * 44}"}
        await telling(tmp_path, url, story, **more)
        await runner.cleanup()

    asyncio.run(main())


def test_a_bulk_that_another_instance_runs_wakes_what_waits_in_this_one(tmp_path: Path, url: str) -> None:
    async def story(world: Scheme, second: Connector) -> None:
        party = PartyRef(id_type="MSISDN", id_value="255712001001")
        payee = PartyRef(id_type="MSISDN", id_value=PAYEE)
        order = Order(home_id="P1", payer=party, payee=payee, amount=1, currency="TZS", needs_payee_confirmation=True)
        bulk = BulkTransaction(id="b", home_id="B1", digest=b"", asked=b"{}", orders=(order,))
        await second._bulk_transactions.begin(bulk)
        began = time.monotonic()
        found = await world.connector._bulk_transactions.wait_for_stop("b", 10.0)
        assert found is not None
        assert found.state is Progress.STOPPED
        assert time.monotonic() - began < 3

    tell(tmp_path, url, story)


def test_the_health_of_a_connector_whose_database_is_away_is_bad(tmp_path: Path, url: str) -> None:
    async def story(world: Scheme, second: Connector) -> None:
        database = second._store.database
        assert isinstance(database, PostgresqlDatabase)
        database._reader_url = f"postgresql://127.0.0.1:{free_port()}/x"
        for link in database._reading:
            link._url = database._reader_url
            link.drop()
        address = f"http://127.0.0.1:{world.config.outbound_port}/health"
        async with aiohttp.ClientSession() as session, session.get(address) as answer:
            shown = await answer.json()
            assert (answer.status, shown["status"]) == (503, "STATE_NOT_AVAILABLE")
            # as the OpenAPI document describes it
            assert msgspec.to_builtins(msgspec.convert(shown, HealthShown)) == shown

    tell(tmp_path, url, story)


def test_a_stranger_cannot_flood_the_other_instances(tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kitovu_connector.relay._MOST_A_SECOND", 5)

    async def story(world: Scheme, second: Connector) -> None:
        def send(source: str) -> Awaitable[int]:
            body = {"responseType": "REJECTED"}
            return world.straight("PUT", f"/authorizations/{uuid.uuid4()}", body, source)

        assert set(await asyncio.gather(*(send("red") for _ in range(40)))) == {200, 503}
        assert await send("blue") == 200

    tell(tmp_path, url, story)


def test_a_stranger_cannot_fill_the_other_instances_with_large_callbacks(
    tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kitovu_connector.relay._MOST_BYTES_AT_ONCE", 4000)
    monkeypatch.setattr("kitovu_connector.relay._MOST_BYTES_A_SECOND", 2000)

    async def story(world: Scheme, second: Connector) -> None:
        def send(source: str) -> Awaitable[int]:
            text = {"errorInformation": {"errorCode": "2001", "errorDescription": "x" * 120}}
            return world.straight("PUT", f"/authorizations/{uuid.uuid4()}/error", text, source)

        assert set(await asyncio.gather(*(send("red") for _ in range(60)))) == {200, 503}
        assert await send("blue") == 200
        await asyncio.sleep(2.1)
        assert await send("red") == 200

    tell(tmp_path, url, story)


def test_odd_requests_are_no_errors_of_a_server_with_its_state_in_postgresql(
    tmp_path: Path, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        more = {"reference_api": True, "reference_port": free_port(), "agree_s": 0.3, "ask_again_s": 0.2}
        async with scheme(tmp_path, "nothing", state=url, **more) as world:
            await odd_requests.statuses(world)
        assert logged(caplog, "message_failed") == []
        assert [line for line in logged(caplog, "core_request_failed") if "error" in line] == []

    asyncio.run(main())


def test_a_report_about_a_known_incoming_transfer_is_not_relayed(tmp_path: Path, url: str) -> None:
    async def story(world: Scheme, second: Connector) -> None:
        known = incoming()
        await world.connector._store.add_incoming(known)
        path = f"/transfers/{known.transfer_id}"
        assert await world.hub_says("PUT", path, told("RESERVED")) == 200
        assert await world.straight("PUT", path, told("COMMITTED"), "red") == 400
        assert await world.straight("PUT", path + "/error", error("2001"), "red") == 400
        with psycopg.connect(url) as conn:
            assert conn.execute("SELECT count(*) FROM relayed").fetchone() == (0,)

    tell(tmp_path, url, story)
