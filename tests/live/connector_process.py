"""A connector in a process of its own, which dies at chosen points and is started again at once.

    python -m tests.live.connector_process FOLDER

FOLDER has `config.json`, the settings. The variable CRASH_AT, or the file `crash_at`, is a regular expression of
points: "before payment (plain) QUOTE" is the moment before a plain payment's step to QUOTE is committed, and
"after ..." the moment when this step is durable and nothing that follows from it has been sent. At each point that
matches, the process sends itself SIGKILL, once: `crashed` lists the points at which it has died. `pid` has the number
of the process that runs the connector; its parent only starts it again.
"""

import asyncio
import ctypes
import functools
import json
import os
import re
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from fspiop import bodies
from fspiop.bodies.quotes import QuotePost
from fspiop.bodies.transfers import TransferPost
from kitovu_connector import logs
from kitovu_connector.config import Config
from kitovu_connector.connector import Connector
from kitovu_connector.payment_and_quote_records import Incoming, QuoteGiven, Store
from kitovu_connector.payment_record import Payment
from kitovu_connector.record_store import Records
from kitovu_connector.reference_api.backend import ReferenceBackend
from tests.reference.core import KES_ONLY

_PR_SET_PDEATHSIG = 1


def kind_of_payment(payment: Payment) -> str:
    order = payment.order
    if order.scenario == "REFUND":
        return "refund"
    if order.transaction_request_id is not None:
        return "requested"
    if order.home_id.startswith("bulkTransactions/"):
        return "in a bulk"
    return "converted" if order.payee.id_value.startswith(KES_ONLY) else "plain"


def kind_of_quote(quote: QuoteGiven) -> str:
    asked = bodies.read(QuotePost, quote.request)
    if asked.transaction_type.scenario == "REFUND":
        return "refund"
    if asked.transaction_request_id is not None:
        return "requested"
    if quote.is_taken and not quote.answer:
        return "in a bulk"
    return "converted" if asked.amount.currency == "KES" else "plain"


def kind_of_transfer(incoming: Incoming) -> str:
    if incoming.bulk_id is not None:
        return "in a bulk"
    return "converted" if bodies.read(TransferPost, incoming.body).amount.currency == "KES" else "plain"


def name_of_quote(quote: QuoteGiven) -> str:
    state = "TAKEN" if quote.is_taken and quote.answer else "ANSWERED" if quote.answer else "RECEIVED"
    return f"quote ({kind_of_quote(quote)}) {state}"


# Each method of the store that commits a step, and the name of the step.
STEPS: list[tuple[type, str, Callable[..., str | Awaitable[str]]]] = [
    (Store, "add_payment", lambda _, payment: f"payment ({kind_of_payment(payment)}) NEW"),
    (Store, "save_payment", lambda _, before, after: f"payment ({kind_of_payment(after)}) {after.state}"),
    (Store, "add_quote", lambda _, quote: name_of_quote(quote)),
    (Store, "save_quote", lambda _, quote: name_of_quote(quote)),
    (Store, "add_incoming", lambda _, incoming: f"transfer ({kind_of_transfer(incoming)}) {incoming.stage}"),
    (Store, "save_incoming", lambda _, before, after: f"transfer ({kind_of_transfer(after)}) {after.stage}"),
    (Store, "claim_quote", lambda _, transfer_id, quote_id: "transfer CLAIMED"),
    (Records, "add", lambda records, new, *_: f"{records._kind} NEW"),
    (Records, "save", lambda records, before, after: f"{records._kind} {after.state}{_detail(after)}"),
    (Records, "update", lambda records, record_id, change: _updated(records, record_id, change)),
    (Records, "amend", lambda records, record_id, change: f"{records._kind} AMENDED"),
]


async def _updated(records: Any, record_id: str, change: Callable[[Any], Any]) -> str:
    before = await records.get(record_id)
    after = None if before is None else change(before)
    return f"{records._kind} {'UNCHANGED' if after is None else f'{after.state}{_detail(after)}'}"


def _detail(record: Any) -> str:
    """Steps that do not change the state."""
    parts = [name for name in ("answer", "alias", "told") if getattr(record, name, None)]
    return f" with {' and '.join(parts)}" if parts else ""


class Points:
    """The points at which this process dies."""

    def __init__(self, folder: Path) -> None:
        self._crashed = folder / "crashed"
        self._seen = set(self._crashed.read_text().splitlines()) if self._crashed.exists() else set()
        named = folder / "crash_at"
        text = os.environ.get("CRASH_AT") or (named.read_text() if named.exists() else "")
        self._wanted = re.compile(text) if text else None

    async def reach(self, point: str) -> None:
        if self._wanted is None or point in self._seen or not self._wanted.search(point):
            return
        with self._crashed.open("a") as file:
            file.write(f"{point}\n")
        # Steps of one commit come here one after the other, and die together.
        asyncio.get_running_loop().call_soon(os.kill, os.getpid(), signal.SIGKILL)
        await asyncio.Event().wait()

    def watch(self) -> None:
        """Puts a point before and after each commit."""
        for owner, method, name_of in STEPS:
            setattr(owner, method, self._around(getattr(owner, method), name_of))

    def _around(self, commit: Callable[..., Any], name_of: Callable[..., str | Awaitable[str]]) -> Callable[..., Any]:
        @functools.wraps(commit)
        async def call(*arguments: Any, **more: Any) -> Any:
            given = name_of(*arguments)
            name = given if isinstance(given, str) else await given
            await self.reach(f"before {name}")
            found = await commit(*arguments, **more)
            await self.reach(f"after {name}")
            return found

        return call


async def serve(config: Config) -> None:
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    async with ReferenceBackend(config.backend_url, timeout_s=5.0) as core, Connector(config, core):
        await stopped.wait()


def run(folder: Path) -> None:
    """The connector, until SIGTERM or its death."""
    values = json.loads((folder / "config.json").read_text())
    if "://" not in values["state"]:
        values["state"] = Path(values["state"])
    (folder / "pid").write_text(str(os.getpid()))
    logs.configure("WARNING")
    Points(folder).watch()
    asyncio.run(serve(Config(**values)))


def die_with_parent() -> None:
    """A test run that is killed must not leave connectors behind."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def main(folder: Path) -> int:
    """Starts the connector again whenever it was killed. A fork needs no time for the imports."""
    child = 0
    die_with_parent()
    signal.signal(signal.SIGTERM, lambda *_: os.kill(child, signal.SIGTERM) if child else sys.exit(0))
    while True:
        child = os.fork()
        if child == 0:
            die_with_parent()
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            run(folder)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if not (os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL) or (folder / "stays_dead").exists():
            return os.waitstatus_to_exitcode(status) & 0x7F


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
