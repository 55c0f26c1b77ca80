"""The connector without asyncio: the same calls, results and errors; the core and the handlers run in threads."""

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from inspect import signature
from pathlib import Path
from typing import Any, TypeVar

import pytest
from aiohttp import web
from msgspec.structs import replace as with_changes

import kitovu_connector
from kitovu_connector import (
    AlreadySent,
    Config,
    ConfigError,
    Conflict,
    CustomerAlias,
    HttpBackend,
    IncomingMoney,
    InvalidRequest,
    LookupFailed,
    NoSuchPayment,
    NotRunning,
    PartyDetails,
    PaymentEnded,
    Refused,
    StartError,
    State,
    Terms,
    TermsWanted,
    TransferEnded,
)
from kitovu_connector.sync import Backend, Connector, FxBackend
from tests.connector.hub_stub import PAYEE, Scheme, config_of, quote, told, transfer
from tests.connector.test_python_api import WANTED

T = TypeVar("T")
ASHA = "255712001001"


@dataclass
class Core:
    """A bank with one customer, without asyncio. `hangs` holds up the calls of these methods until it is set."""

    hangs: dict[str, threading.Event] = field(default_factory=dict)
    threads: set[str] = field(default_factory=set)
    began: list[str] = field(default_factory=list)
    credited: list[IncomingMoney] = field(default_factory=list)
    released: list[str] = field(default_factory=list)
    refuses: Exception | None = None

    def _enter(self, method: str) -> None:
        self.threads.add(threading.current_thread().name)
        self.began.append(method)
        if method in self.hangs:
            self.hangs[method].wait(20)

    def find_party(self, id_type: str, id_value: str, sub_id: str | None) -> PartyDetails | None:
        self._enter("find_party")
        return PartyDetails("Asha")

    def give_terms(self, wanted: TermsWanted) -> Terms:
        self._enter("give_terms")
        return Terms(receive_amount=wanted.amount - Decimal("0.50"), fee=Decimal("0.50"))

    def reserve(self, incoming: IncomingMoney) -> None:
        self._enter("reserve")
        if self.refuses is not None:
            raise self.refuses

    def commit(self, incoming: IncomingMoney) -> None:
        self._enter("commit")
        self.credited.append(incoming)

    def release(self, transfer_id: str) -> None:
        self._enter("release")
        self.released.append(transfer_id)


@dataclass
class Stage:
    """A hub of one conversation in a thread of its own, and green's connector without asyncio."""

    hub: Scheme
    core: Any
    connector: Connector
    loop: asyncio.AbstractEventLoop

    def do(self, work: Coroutine[Any, Any, T], seconds: float = 10.0) -> T:
        """Runs what the hub or another DFSP does."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(seconds)

    def until(self, holds: Callable[[], bool]) -> None:
        for _ in range(500):
            if holds():
                return
            time.sleep(0.02)
        raise AssertionError("it never came so")

    def transfer_to_asha(self) -> str:
        """blue's quote and transfer to green's customer. Returns the transfer's id when green has answered it."""
        asked = quote()
        assert self.do(self.hub.hub_passes_on("POST", "/quotes", asked)) == 202
        self.do(self.hub.until("PUT", f"/quotes/{asked['quoteId']}"))
        body = transfer(self.hub.bodies("PUT", f"/quotes/{asked['quoteId']}")[0])
        assert self.do(self.hub.hub_passes_on("POST", "/transfers", body)) == 202
        self.do(self.hub.until("PUT", f"/transfers/{body['transferId']}"))
        return str(body["transferId"])


@contextmanager
def hub_of(config: Config, folder: Path) -> Iterator[tuple[Scheme, asyncio.AbstractEventLoop]]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    hub = Scheme(config, folder)
    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", hub.take)
    runner = web.AppRunner(app, access_log=None)

    async def serve() -> None:
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", int(config.hub_url.rpartition(":")[2])).start()

    asyncio.run_coroutine_threadsafe(serve(), loop).result(10)
    try:
        yield hub, loop
    finally:
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)


@contextmanager
def stage(folder: Path, core: Any = None, *, threads: int = 8, **more: Any) -> Iterator[Stage]:
    config = config_of(folder, "pinned", **({"agree_s": 2.0, "answer_s": 5.0} | more))
    core = core or Core()
    with hub_of(config, folder) as (hub, loop):
        made = Stage(hub, core, Connector(config, core, threads=threads), loop)
        yield made


# --- the same calls ---------------------------------------------------------------------------------------------------


def test_both_connectors_have_the_same_calls_with_the_same_arguments() -> None:
    asynchronous = {name for name in vars(kitovu_connector.Connector) if not name.startswith("_")} - {"payment_pages"}
    assert asynchronous == {name for name in vars(Connector) if not name.startswith("_")}
    for name in asynchronous:
        given = [list(signature(getattr(kind, name)).parameters) for kind in (kitovu_connector.Connector, Connector)]
        assert given[0] == given[1], name


def test_both_backends_have_the_same_methods_with_the_same_arguments() -> None:
    for ours, theirs in ((Backend, kitovu_connector.Backend), (FxBackend, kitovu_connector.FxBackend)):
        methods = {name for name in vars(theirs) if not name.startswith("_")}
        assert methods == {name for name in vars(ours) if not name.startswith("_")}
        for name in methods:
            assert list(signature(getattr(ours, name)).parameters) == list(signature(getattr(theirs, name)).parameters)


def test_a_payment_is_quoted_confirmed_found_and_listed(tmp_path: Path) -> None:
    with stage(tmp_path) as world, world.connector as connector, ThreadPoolExecutor() as pool:
        assert connector.lookup("MSISDN", PAYEE).fsp_id == "blue"
        assert connector.payment("P1") is None
        offered = connector.quote(WANTED)
        assert (offered.state, offered.transfer_amount) == (State.AGREED, Decimal("100.5"))
        paying = [pool.submit(connector.confirm, "P1") for _ in range(3)]
        world.do(world.hub.until("POST", "/transfers"))
        assert world.do(world.hub.hub_says("PUT", f"/transfers/{offered.transfer_id}", told("COMMITTED"))) == 200
        assert {paid.result(10).state for paid in paying} == {State.COMMITTED}
        assert world.hub.count("POST", "/transfers") == 1
        (found,) = connector.payments(since=offered.created_at, state="COMMITTED")
        assert found == connector.payment("P1")


def test_a_payment_is_made_in_one_call_and_another_is_cancelled(tmp_path: Path) -> None:
    with stage(tmp_path) as world, world.connector as connector, ThreadPoolExecutor() as pool:
        paying = pool.submit(connector.pay, WANTED)
        world.do(world.hub.until("POST", "/transfers"))
        (body,) = world.hub.bodies("POST", "/transfers")
        assert world.do(world.hub.hub_says("PUT", f"/transfers/{body['transferId']}", told("COMMITTED"))) == 200
        assert paying.result(10).state is State.COMMITTED
        assert connector.quote(with_changes(WANTED, home_id="P2")).state is State.AGREED
        assert connector.cancel("P2").error_code == "4100"


def test_many_payments_are_listed_page_by_page(tmp_path: Path) -> None:
    with stage(tmp_path, answer_s=20.0, agree_s=20.0) as world, world.connector as connector:
        world.hub.refuses["POST /quotes"] = (400, "3201")
        with ThreadPoolExecutor(16) as pool:
            orders = [with_changes(WANTED, home_id=f"P{number:03}") for number in range(120)]
            assert {payment.state for payment in pool.map(connector.pay, orders)} == {State.ABORTED}
        listed = connector.payments()
        assert next(listed).state is State.ABORTED
        assert len(list(listed)) == 119


def test_aliases_are_registered_and_withdrawn(tmp_path: Path) -> None:
    with stage(tmp_path) as world, world.connector as connector:
        world.hub.answers.add("aliases")
        connector.register_alias("MSISDN", ASHA, currency="TZS")
        connector.withdraw_alias("MSISDN", ASHA)
        results = connector.register_aliases(CustomerAlias("MSISDN", f"25571200200{number}") for number in range(3))
        assert [result.is_registered for result in results] == [True] * 3


# --- the same errors --------------------------------------------------------------------------------------------------


def test_the_same_failures_raise_the_same_errors(tmp_path: Path) -> None:
    with stage(tmp_path) as world:
        with pytest.raises(NotRunning):
            world.connector.payment("P1")
        with world.connector as connector:
            world.hub.refuses["GET /parties"] = (400, "3204")
            with pytest.raises(LookupFailed):
                connector.lookup("MSISDN", PAYEE)
            world.hub.refuses.clear()
            with pytest.raises(NoSuchPayment):
                connector.confirm("P1")
            with pytest.raises(InvalidRequest):
                list(connector.payments(state="PAID"))
            connector.quote(WANTED)
            with pytest.raises(Conflict):
                connector.pay(WANTED)
            with ThreadPoolExecutor(1) as pool:
                paying = pool.submit(connector.confirm, "P1")
                world.do(world.hub.until("POST", "/transfers"))
                with pytest.raises(AlreadySent):
                    connector.cancel("P1")
                world.do(
                    world.hub.hub_says("PUT", f"/transfers/{connector.payment('P1').transfer_id}", told("ABORTED"))  # type: ignore[union-attr]
                )
                assert paying.result(10).error_code == "5104"
        with pytest.raises(NotRunning):
            connector.payment("P1")
        with pytest.raises(StartError, match="only once"):
            connector.__enter__()


def test_a_connector_that_cannot_start_leaves_no_thread(tmp_path: Path) -> None:
    before = threading.active_count()
    config = config_of(tmp_path, "nothing", signing_key=str(tmp_path / "lost.key"))
    with pytest.raises(ConfigError):
        Connector(config, Core()).__enter__()
    assert threading.active_count() == before


def test_a_stop_ends_the_calls_that_wait(tmp_path: Path) -> None:
    with stage(tmp_path, answer_s=60.0) as world, ThreadPoolExecutor(1) as pool:
        with world.connector as connector:
            paying = pool.submit(connector.pay, WANTED)
            world.do(world.hub.until("POST", "/transfers"))
        with pytest.raises(NotRunning):
            paying.result(5)
        assert not any(thread.name == "connector" for thread in threading.enumerate())


# --- the core and the handlers ----------------------------------------------------------------------------------------


def test_the_core_runs_in_threads_and_its_customer_is_paid(tmp_path: Path) -> None:
    told_: list[TransferEnded] = []
    with stage(tmp_path) as world:
        world.connector.on_transfer_ended(told_.append)
        with world.connector:
            transfer_id = world.transfer_to_asha()
            assert world.do(world.hub.hub_says("PATCH", f"/transfers/{transfer_id}", told("COMMITTED"))) == 200
            world.until(lambda: len(told_) == 1)
        (credited,) = world.core.credited
        amounts = (credited.amount, credited.receive_amount, credited.fee)
        assert amounts == (Decimal(100), Decimal("99.5"), Decimal("0.5"))
        assert told_[0].data.transfer_id == transfer_id
        assert world.core.threads
        assert all(name.startswith("core-") for name in world.core.threads)


def test_the_refusal_and_the_fault_of_a_core_reach_the_other_dfsp(tmp_path: Path) -> None:
    with stage(tmp_path) as world, world.connector:
        for fault, code in ((Refused("5200", "limit"), "5200"), (Refused("5104", ""), "5104")):
            world.core.refuses = fault
            asked = quote()
            assert world.do(world.hub.hub_passes_on("POST", "/quotes", asked)) == 202
            world.do(world.hub.until("PUT", f"/quotes/{asked['quoteId']}"))
            body = transfer(world.hub.bodies("PUT", f"/quotes/{asked['quoteId']}")[0])
            assert world.do(world.hub.hub_passes_on("POST", "/transfers", body)) == 202
            path = f"/transfers/{body['transferId']}/error"
            world.do(world.hub.until("PUT", path))
            assert world.hub.bodies("PUT", path)[0]["errorInformation"]["errorCode"] == code


@pytest.mark.parametrize("fault", [SystemExit(1), KeyboardInterrupt(), StopIteration(), ZeroDivisionError()], ids=repr)
def test_no_fault_of_a_core_ends_the_connector(tmp_path: Path, fault: BaseException) -> None:
    def fails(*_: Any) -> Any:
        raise fault

    core = Core()
    core.find_party = fails  # type: ignore[method-assign]
    with stage(tmp_path, core) as world, world.connector as connector:
        path = f"/parties/MSISDN/{ASHA}"
        assert world.do(world.hub.hub_passes_on("GET", path, None)) == 202
        world.do(world.hub.until("PUT", f"{path}/error"))
        assert world.hub.bodies("PUT", f"{path}/error")[0]["errorInformation"]["errorCode"] == "2001"
        assert connector.payment("P1") is None


def test_a_core_that_hangs_stops_neither_its_other_methods_nor_the_payments(tmp_path: Path) -> None:
    """Each method has two threads here: hanging lookups take both of theirs."""
    core = Core(hangs={"find_party": threading.Event()})
    with stage(tmp_path, core, threads=2, request_s=1.0) as world, world.connector as connector:
        numbers = [f"2557120020{number:02}" for number in range(6)]
        for number in numbers:
            assert world.do(world.hub.hub_passes_on("GET", f"/parties/MSISDN/{number}", None)) == 202
        assert connector.lookup("MSISDN", PAYEE).fsp_id == "blue"
        for number in numbers:  # each gets an answer, though no thread is free
            world.do(world.hub.until("PUT", f"/parties/MSISDN/{number}/error"))
        assert core.began.count("find_party") == 2
        core.hangs.pop("find_party").set()
        transfer_id = world.transfer_to_asha()
        core.hangs["commit"] = threading.Event()
        assert world.do(world.hub.hub_says("PATCH", f"/transfers/{transfer_id}", told("COMMITTED"))) == 200
        world.until(lambda: "commit" in core.began)
        world.transfer_to_asha()
        core.hangs.pop("commit").set()
        world.until(lambda: bool(core.credited))


def test_a_handler_that_hangs_or_fails_is_called_again_and_stops_no_payment(tmp_path: Path) -> None:
    hangs, told_ = threading.Event(), []
    with stage(tmp_path, request_s=1.0) as world:

        def slow(event: PaymentEnded) -> None:
            told_.append(event.data.home_transaction_id)
            if len(told_) == 1:
                hangs.wait(20)
            if len(told_) == 2:
                raise OSError("the core's database is away")
            # a handler may call the connector
            assert world.connector.payment("P1").state is State.ABORTED  # type: ignore[union-attr]

        world.connector.on_payment_ended(slow)
        world.hub.refuses["POST /quotes"] = (400, "3201")
        with world.connector as connector:
            assert connector.pay(WANTED).state is State.ABORTED
            world.until(lambda: len(told_) == 1)
            assert connector.lookup("MSISDN", PAYEE).fsp_id == "blue"
            world.until(lambda: len(told_) >= 3)
            hangs.set()
        assert set(told_) == {"P1"}


def test_a_core_with_asyncio_serves_too_and_the_connector_opens_it(tmp_path: Path) -> None:
    core = HttpBackend("http://127.0.0.1:9")
    with stage(tmp_path, core) as world:
        with world.connector:
            assert core._session is not None
            path = f"/parties/MSISDN/{ASHA}"
            assert world.do(world.hub.hub_passes_on("GET", path, None)) in (202, 503)
        assert core._session is None or core._session.closed


def test_a_coroutine_in_the_connectors_own_thread_is_not_left_waiting(tmp_path: Path) -> None:
    """A handler that is a coroutine function runs in the connector's event loop, and cannot wait for that loop."""
    errors: list[BaseException] = []
    with stage(tmp_path) as world:

        async def waits(event: Any) -> None:
            try:
                world.connector.payment("P1")
            except InvalidRequest as error:
                errors.append(error)

        world.connector.on_event(waits)  # type: ignore[arg-type]
        world.hub.refuses["POST /quotes"] = (400, "3201")
        with world.connector as connector:
            assert connector.pay(WANTED).state is State.ABORTED
            world.until(lambda: bool(errors))


def test_a_stop_waits_for_the_core_so_that_its_database_can_be_closed_afterwards(tmp_path: Path) -> None:
    core = Core(hangs={"commit": threading.Event()})
    with stage(tmp_path, core) as world:
        with world.connector:
            transfer_id = world.transfer_to_asha()
            assert world.do(world.hub.hub_says("PATCH", f"/transfers/{transfer_id}", told("COMMITTED"))) == 200
            world.until(lambda: "commit" in core.began)
            threading.Timer(0.5, core.hangs["commit"].set).start()
        assert [credited.transfer_id for credited in core.credited] == [transfer_id]
