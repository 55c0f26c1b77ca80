"""The payee's side of a transfer, step by step, where two steps meet."""

import asyncio
import time
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest

from kitovu_connector.payee import Ending, Payee
from kitovu_connector.payment_and_quote_records import Incoming, Stage, Store
from tests.connector.hub_stub import Core, config_of

TRANSFER = "b51ec534-ee48-4575-b6a9-ead2955b8069"


class _Overtaken(Store):
    """Here the connector stores that its fulfilment was taken at the very moment at which the hub's word comes."""

    overtaken = False

    async def save_incoming(self, before: Incoming, after: Incoming) -> bool:
        if not self.overtaken:
            self.overtaken = True
            assert await super().save_incoming(before, msgspec.structs.replace(before, stage=Stage.FULFILLED))
        return await super().save_incoming(before, after)


@pytest.mark.parametrize(("state", "stage"), [("COMMITTED", Stage.COMMITTING), ("ABORTED", Stage.RELEASING)])
def test_the_hubs_word_is_kept_where_the_connectors_own_step_comes_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, state: str, stage: Stage
) -> None:
    async def main() -> None:
        config = config_of(tmp_path, "nothing")
        config.state.mkdir()
        store = _Overtaken(config.state)
        payee = Payee(config, store, cast(Any, None), Core(), cast(Any, None), cast(Any, None))
        goes_on_with: list[str] = []
        monkeypatch.setattr(payee, "carry_on", goes_on_with.append)
        sent = Incoming(transfer_id=TRANSFER, digest=b"", payer_fsp="blue", body=b"", expires_at=time.time() + 60)
        await store.add_incoming(msgspec.structs.replace(sent, stage=Stage.FULFILLING))

        await payee.take_ending(TRANSFER, Ending(state))

        assert store.overtaken
        assert await store.incoming(TRANSFER) == msgspec.structs.replace(sent, stage=stage)
        assert goes_on_with == [TRANSFER]
        await store.close()

    asyncio.run(main())


class _LateReport(Store):
    """The hub's report arrives after the task's last look at the transfer, and before the task has ended."""

    payee: Payee
    is_told = False

    async def own_incoming(self, transfer_id: str) -> Incoming | None:
        found = await super().own_incoming(transfer_id)
        if not self.is_told:
            self.is_told = True
            await self.payee.take_ending(transfer_id, Ending("COMMITTED"))
        return found


def test_a_report_that_comes_while_the_task_of_a_transfer_ends_is_not_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        config = config_of(tmp_path, "nothing")
        config.state.mkdir()
        store = _LateReport(config.state)
        payee = store.payee = Payee(config, store, cast(Any, None), Core(), cast(Any, None), cast(Any, None))
        steps: list[Stage] = []

        async def take_step(incoming: Incoming, **_: Any) -> None:
            steps.append(incoming.stage)
            await store.save_incoming(incoming, msgspec.structs.replace(incoming, stage=Stage.COMMITTED))

        monkeypatch.setattr(payee, "_take_step", take_step)
        sent = Incoming(transfer_id=TRANSFER, digest=b"", payer_fsp="blue", body=b"", expires_at=time.time() + 60)
        await store.add_incoming(msgspec.structs.replace(sent, stage=Stage.REJECTED))
        payee.carry_on(TRANSFER)
        while TRANSFER in payee._rounds:
            await asyncio.sleep(0.01)
        assert steps == [Stage.COMMITTING]
        await payee.close()
        await store.close()

    asyncio.run(main())
