"""A payment that needs a one-time code: the bank compares the code, whatever is lost or restarted before."""

import asyncio
import uuid
from pathlib import Path
from typing import Any

import pytest

from example_dfsp.connector_calls import NO_RESPONSE, Answer
from example_dfsp.instructions import Instruction
from kitovu_connector.payment_record import State
from tests.connector.hub_stub import PAYEE, Scheme
from tests.example_dfsp.test_payments import ASHA, Mortal, impatient, tell

__all__ = ["impatient"]
REFERENCE = "C1"


class CashOut(Mortal):
    """A bank whose customer confirms a cash-out at an agent of another bank."""

    def __init__(self, world: Scheme, path: Path) -> None:
        self.request_id = str(uuid.uuid4())
        self._hub = world
        super().__init__(world, path, REFERENCE, kind="cash_out", request_id=self.request_id)

    async def begin(self) -> str:
        """Takes the request, and returns when the payer has confirmed the terms. Returns the correct code."""
        await self.start()
        told = {
            "transactionRequestId": self.request_id,
            "to": {"idType": "MSISDN", "idValue": PAYEE, "fspId": "blue"},
            "currency": "TZS",
            "transactionType": "WITHDRAWAL",
            "authenticationType": "OTP",
        }
        self.bank.requests.take(told, self.bank.customers.get(ASHA), self.wish.amount)
        code = self.bank.requests.code_of(self.request_id)
        assert code is not None
        found = await self.bank.payments.ask(self.wish)
        while found.state == "NEW":
            await asyncio.sleep(0.02)
            found = await self.bank.payments.get(REFERENCE) or found
        await self.bank.payments.confirm(REFERENCE)
        await self._hub.until("GET", "/authorizations")
        return code

    async def code_is_entered(self, code: str) -> None:
        """The agent's bank returns the code. Returns when the connector has it."""
        entered = {
            "responseType": "ENTERED",
            "authenticationInfo": {"authentication": "OTP", "authenticationValue": code},
        }
        assert await self._hub.hub_passes_on("PUT", f"/authorizations/{self.request_id}", entered) == 200
        while self._hub.payment(REFERENCE).state is State.AUTHORIZATION:
            await asyncio.sleep(0.02)

    async def end(self) -> Instruction:
        for _ in range(150):
            found = await self.bank.payments.get(REFERENCE)
            if found is not None and found.is_ended:
                return found
            await asyncio.sleep(0.02)
        raise AssertionError(f"{found} has not ended")


@pytest.mark.parametrize(("is_right", "left"), [(True, 895), (False, 1000)])
@pytest.mark.parametrize("fault", ["none", "restart", "lost response"])
def test_only_the_correct_code_pays(fault: str, is_right: bool, left: int, tmp_path: Path) -> None:
    async def story(world: Scheme) -> None:
        world.state = "COMMITTED"
        bank = CashOut(world, tmp_path / "books.sqlite3")
        right = await bank.begin()
        entered = right if is_right else f"{(int(right) + 1) % 1_000_000:06}"
        if fault == "restart":
            await bank.stop()
        elif fault == "lost response":
            lose_next_confirmation(bank)
        await bank.code_is_entered(entered)
        if fault == "restart":
            await bank.start()
        found = await bank.end()
        assert (found.state, found.error_code) == (("PAID", None) if is_right else ("FAILED", "4101"))
        assert world.count("POST", "/transfers") == int(is_right)
        assert (bank.balance(ASHA), bank.balance("held")) == (left, 0)
        await bank.stop()

    tell(tmp_path, story)


def lose_next_confirmation(bank: CashOut) -> None:
    """The bank stops waiting for the response to its confirmation, as after a broken connection, and starts again."""
    task = bank.bank.payments._tasks.pop(REFERENCE)
    task.cancel()
    calls, whole = bank.bank.calls, bank.bank.calls.call
    lost: list[str] = []

    async def call(method: str, path: str, body: Any = None) -> Answer:
        if not lost:
            lost.append(path)
            await asyncio.sleep(0.3)
            return NO_RESPONSE, {"error": "no response from the connector"}
        return await whole(method, path, body)

    calls.call = call  # type: ignore[method-assign]
    bank.bank.payments._start(REFERENCE, bank.bank.payments._drive(REFERENCE))
