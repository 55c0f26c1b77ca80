"""The errors of the Python API: one tree with three branches, and no call raises any other error."""

import asyncio
import socket
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace as with_changes

import kitovu_connector
from kitovu_connector import (
    AliasRefused,
    AlreadySent,
    AmountError,
    AskAgain,
    CallFailed,
    Config,
    ConfigError,
    Conflict,
    Connector,
    ConnectorError,
    CoreError,
    CustomerAlias,
    DoNotRefund,
    InvalidRequest,
    LookupFailed,
    NoSuchPayment,
    NoTermsYet,
    NothingBegun,
    NotRunning,
    PasswordRefused,
    StartError,
    Unanswered,
)
from tests.connector.hub_stub import PAYEE, Core, Scheme, config_of, scheme, told
from tests.connector.test_python_api import WANTED

PROJECT = Path(__file__).resolve().parents[2]
BRANCHES = (NothingBegun, DoNotRefund, AskAgain)
EXPORTED = {
    name: found
    for name in kitovu_connector.__all__
    if isinstance(found := getattr(kitovu_connector, name), type) and issubclass(found, Exception)
}


def test_each_exported_error_stands_in_one_branch_of_one_tree() -> None:
    for name, kind in EXPORTED.items():
        if issubclass(kind, CoreError):
            assert not issubclass(kind, ConnectorError), name
        elif kind is not ConnectorError:
            assert issubclass(kind, ConnectorError), name
            assert sum(issubclass(kind, branch) for branch in BRANCHES) == 1, name
    assert {*BRANCHES, ConnectorError, CoreError} < set(EXPORTED.values())


def test_each_error_of_the_connector_is_exported_and_described() -> None:
    found = {ConnectorError, CoreError}
    for kind in list(found):
        found |= _below(kind)
    assert {kind for kind in found if kind.__module__.startswith("kitovu_connector")} == set(EXPORTED.values())
    pages = ["connector/README.md", "docs/integrators.md"]
    for page in pages:
        text = (PROJECT / page).read_text()
        assert [name for name in EXPORTED if f"`{name}`" not in text] == [], page
    branches = kitovu_connector.errors.__doc__ or ""
    for name in {name for name, kind in EXPORTED.items() if issubclass(kind, ConnectorError)}:
        assert name in branches, name


def _below(kind: type[Exception]) -> set[type[Exception]]:
    return {each for below in kind.__subclasses__() for each in ({below} | _below(below))}


# --- every failure of every call --------------------------------------------------------------------------------------


async def _listed(payments: AsyncIterator[Any]) -> list[Any]:
    return [payment async for payment in payments]


Call = Callable[[Connector], Awaitable[Any]]
CALLS: dict[str, Call] = {
    "pay": lambda connector: connector.pay(WANTED),
    "quote": lambda connector: connector.quote(WANTED),
    "lookup": lambda connector: connector.lookup("MSISDN", PAYEE),
    "confirm": lambda connector: connector.confirm("P1"),
    "cancel": lambda connector: connector.cancel("P1"),
    "payment": lambda connector: connector.payment("P1"),
    "payments": lambda connector: _listed(connector.payments()),
    "payment_pages": lambda connector: _listed(connector.payment_pages()),
    "register_alias": lambda connector: connector.register_alias("MSISDN", PAYEE),
    "register_aliases": lambda connector: _registered(connector),
    "withdraw_alias": lambda connector: connector.withdraw_alias("MSISDN", PAYEE),
}


async def _registered(connector: Connector) -> None:
    """Raises the error of the one result."""
    (result,) = await connector.register_aliases([CustomerAlias("MSISDN", PAYEE)])
    if result.error is not None:
        raise result.error


async def _until_sent(world: Scheme) -> None:
    paying = asyncio.create_task(world.connector.pay(WANTED))
    await world.until("POST", "/transfers")
    paying.cancel()
    with suppress(asyncio.CancelledError):
        await paying


async def _without_terms(world: Scheme) -> None:
    world.answers.discard("parties")
    quoting = asyncio.create_task(world.connector.quote(WANTED))
    await world.until("GET", "/parties")
    quoting.cancel()


async def _agreed(world: Scheme) -> None:
    await world.connector.quote(WANTED)


async def _silent(world: Scheme) -> None:
    world.answers.clear()


async def _no_such_party(world: Scheme) -> None:
    world.refuses["GET /parties"] = (400, "3204")


async def _busy_party(world: Scheme) -> None:
    world.refuses["GET /parties"] = (400, "2003")


async def _refused_alias(world: Scheme) -> None:
    world.refuses |= {"POST /participants": (400, "3003"), "DELETE /participants": (400, "3003")}


async def _broken_database(world: Scheme) -> None:
    with closing(sqlite3.connect(world.folder / "state" / "connector.sqlite3")) as conn:
        conn.execute("DROP TABLE payment")


async def _stopped(world: Scheme) -> None:
    await world.stop()


async def _nothing(_: Scheme) -> None:
    pass


Given = Callable[[Scheme], Awaitable[None]]
FAILURES: list[tuple[str, Given, Call, type[ConnectorError]]] = [
    *((name, _stopped, call, NotRunning) for name, call in CALLS.items()),
    *(
        (name, _broken_database, CALLS[name], CallFailed)
        for name in ("pay", "quote", "confirm", "cancel", "payment", "payments", "payment_pages")
    ),
    ("pay", _nothing, lambda connector: connector.pay(with_changes(WANTED, home_id="")), InvalidRequest),
    ("pay", _nothing, lambda connector: connector.pay(with_changes(WANTED, amount="0")), AmountError),
    ("pay", _nothing, lambda connector: connector.pay(None), InvalidRequest),  # type: ignore[arg-type]
    ("pay", _agreed, CALLS["pay"], Conflict),
    ("quote", _agreed, lambda connector: connector.quote(with_changes(WANTED, amount="1")), Conflict),
    # The id belongs to an open payment, so the second order's own fault must not free the first order's money.
    ("pay", _agreed, lambda connector: connector.pay(with_changes(WANTED, amount="0")), Conflict),
    ("pay", _agreed, lambda connector: connector.pay(with_changes(WANTED, needs_password=True)), Conflict),
    ("lookup", _no_such_party, CALLS["lookup"], LookupFailed),
    ("lookup", _silent, CALLS["lookup"], Unanswered),
    ("lookup", _busy_party, CALLS["lookup"], Unanswered),
    ("lookup", _nothing, lambda connector: connector.lookup("MSISDN", ".."), InvalidRequest),
    ("lookup", _nothing, lambda connector: connector.lookup("PHONE", "1"), InvalidRequest),  # type: ignore[arg-type]
    ("confirm", _nothing, CALLS["confirm"], NoSuchPayment),
    ("confirm", _without_terms, CALLS["confirm"], NoTermsYet),
    ("confirm", _agreed, lambda connector: connector.confirm("P1", "123456"), PasswordRefused),
    ("cancel", _nothing, CALLS["cancel"], NoSuchPayment),
    ("cancel", _until_sent, CALLS["cancel"], AlreadySent),
    ("payments", _nothing, lambda connector: _listed(connector.payments(state="x")), InvalidRequest),
    ("payment_pages", _nothing, lambda connector: _listed(connector.payment_pages(state="x")), InvalidRequest),
    *((name, _silent, CALLS[name], Unanswered) for name in ("register_alias", "register_aliases", "withdraw_alias")),
    *((name, _refused_alias, CALLS[name], AliasRefused) for name in ("register_alias", "withdraw_alias")),
    ("register_aliases", _refused_alias, CALLS["register_aliases"], AliasRefused),
    ("register_aliases", _nothing, lambda connector: connector.register_alias("MSISDN", "a/b"), InvalidRequest),
    ("withdraw_alias", _nothing, lambda connector: connector.withdraw_alias("MSISDN", ""), InvalidRequest),
]


@pytest.mark.parametrize(
    ("given", "call", "kind"),
    [pytest.param(*row[1:], id=f"{row[0]}-{row[1].__name__.strip('_')}-{row[3].__name__}") for row in FAILURES],
)
def test_a_call_that_fails_raises_the_error_that_says_what_to_do(
    tmp_path: Path, given: Given, call: Call, kind: type[ConnectorError]
) -> None:
    async def run() -> None:
        async with scheme(tmp_path, "pinned", agree_s=1.0, ask_again_s=0.3, answer_s=2.0) as world:
            await given(world)
            with pytest.raises(ConnectorError) as caught:
                await call(world.connector)
            assert type(caught.value) is kind

    asyncio.run(run())


def test_the_table_has_each_call_and_each_error() -> None:
    calls = {name for name in vars(Connector) if not name.startswith(("_", "on_"))}
    assert calls == set(CALLS) == {name for name, *_ in FAILURES}
    raised = {row[3] for row in FAILURES} | {ConfigError, StartError}
    assert {kind for kind in EXPORTED.values() if issubclass(kind, ConnectorError)} == raised | {
        *BRANCHES,
        ConnectorError,
    }


ODD: list[Any] = [None, 5, 1.5, b"x", [], object()]
ODD_CALLS: list[Callable[[Connector, Any], Awaitable[Any]]] = [
    lambda connector, odd: connector.pay(odd),
    lambda connector, odd: connector.pay(with_changes(WANTED, home_id=odd)),
    lambda connector, odd: connector.quote(with_changes(WANTED, payee=odd)),
    lambda connector, odd: connector.quote(with_changes(WANTED, currency=odd)),
    lambda connector, odd: connector.lookup(odd, odd),
    lambda connector, odd: connector.lookup("MSISDN", odd),
    lambda connector, odd: connector.confirm(odd),
    lambda connector, odd: connector.confirm("P1", odd),
    lambda connector, odd: connector.cancel(odd),
    lambda connector, odd: connector.register_alias("MSISDN", odd),
    lambda connector, odd: connector.withdraw_alias(odd, "1"),
    lambda connector, odd: _listed(connector.payments(state=odd or "x")),
]
ODD_TEXTS = ["", "a/b", "..", "\ud800", "a\0b", "x" * 1000]
TEXT_CALLS: list[Callable[[Connector, str], Awaitable[Any]]] = [
    lambda connector, text: connector.lookup("MSISDN", text),
    lambda connector, text: connector.lookup("MSISDN", "1", text),
    lambda connector, text: connector.register_alias("MSISDN", text),
    lambda connector, text: connector.register_alias("MSISDN", "1", currency=text),
    lambda connector, text: connector.withdraw_alias("MSISDN", "1", text),
    lambda connector, text: connector.cancel(text),
]


async def _error_of(call: Awaitable[Any]) -> Exception | None:
    try:
        await call
    except Exception as error:
        return error
    return None


def test_odd_arguments_raise_errors_of_the_tree_and_begin_nothing(tmp_path: Path) -> None:
    async def run() -> None:
        async with scheme(tmp_path, "pinned", agree_s=0.5, answer_s=0.5) as world:
            for calls, values in ((ODD_CALLS, ODD), (TEXT_CALLS, ODD_TEXTS)):
                for number, call in enumerate(calls):
                    for odd in values:
                        fault = await _error_of(call(world.connector, odd))
                        assert isinstance(fault, ConnectorError), f"call {number} with {odd!r}: {fault!r}"
            assert await world.connector.payment(None) is None  # type: ignore[arg-type]
            (result,) = await world.connector.register_aliases([("MSISDN", "1")])  # type: ignore[list-item]
            assert type(result.error) is InvalidRequest
            assert await _listed(world.connector.payments()) == []
            assert world.asked == []

    asyncio.run(run())


# --- the start --------------------------------------------------------------------------------------------------------


def _taken_port(config: Config, _: Path) -> Any:
    taken = socket.socket()
    taken.bind((config.inbound_host, config.inbound_port))
    taken.listen()
    return taken


def _no_database(_: Config, folder: Path) -> Any:
    (folder / "state").mkdir()
    (folder / "state" / "connector.sqlite3").write_bytes(b"x" * 4096)


def _no_folder(_: Config, folder: Path) -> Any:
    (folder / "state").write_text("")


def _no_key(_: Config, folder: Path) -> Any:
    (folder / "Hub.pub").write_text("no key")


@pytest.mark.parametrize(
    ("spoil", "kind"),
    [(_taken_port, StartError), (_no_database, StartError), (_no_folder, StartError), (_no_key, ConfigError)],
)
def test_a_connector_that_cannot_start_says_why(tmp_path: Path, spoil: Any, kind: type[ConnectorError]) -> None:
    async def run() -> None:
        config = config_of(tmp_path, "signatures")
        held = spoil(config, tmp_path)
        connector = Connector(config, Core())
        with pytest.raises(ConnectorError) as caught:
            await connector.__aenter__()
        assert type(caught.value) is kind
        assert len(str(caught.value).splitlines()) == 1
        with pytest.raises(NotRunning):
            await connector.payment("P1")
        if held is not None:
            held.close()

    asyncio.run(run())


def test_an_unforeseen_fault_at_the_start_is_an_error_of_the_tree(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: Any) -> None:
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr("kitovu_connector.connector.Payer", fails)

    async def run() -> None:
        with pytest.raises(StartError, match="ZeroDivisionError"):
            await Connector(config_of(tmp_path, "nothing"), Core()).__aenter__()

    asyncio.run(run())


def test_a_call_that_a_stop_interrupts_says_so_and_its_payment_continues(tmp_path: Path) -> None:
    async def run() -> None:
        async with scheme(tmp_path, "pinned", answer_s=1.0) as world:
            paying = asyncio.create_task(world.connector.pay(WANTED))
            await world.until("POST", "/transfers")
            await world.stop()
            with pytest.raises(NotRunning):
                await paying
            await world.start()
            await world.hub_says("PUT", f"/transfers/{world.payment().transfer_id}", told("COMMITTED"))
            assert (await world.connector.pay(WANTED)).state == "COMMITTED"

    asyncio.run(run())
