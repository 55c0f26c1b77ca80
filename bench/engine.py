"""Measures the ledger's engine without HTTP, with the same transfers as `bench.database_ceiling` (`python -m
bench.engine`)."""

import sys
from collections.abc import Callable

from bench import transfers_for_engine_benches
from bench.messages import CURRENCY
from bench.transfers_for_engine_benches import Row


def main(count: int, size: int, postgres_pid: int) -> None:
    """Measures the engine, and prints the figures as one JSON line."""
    import django

    django.setup()
    from bench.engine_vs_database_ceiling import measure
    from hub import outbox
    from ledger import engine
    from ledger.commands_and_outcomes import Committed, Fulfil, PaymentMessage, Prepare, Reserved

    outbox.poke = lambda destination_ids: None  # no courier runs
    parties = transfers_for_engine_benches.onboard()
    there, back = (
        transfers_for_engine_benches.headers(transfers_for_engine_benches.PAYER, transfers_for_engine_benches.PAYEE),
        transfers_for_engine_benches.headers(transfers_for_engine_benches.PAYEE, transfers_for_engine_benches.PAYER),
    )

    def prepare(row: Row) -> Prepare:
        return Prepare(
            transfer_id=row.transfer_id,
            source_id=parties[transfers_for_engine_benches.PAYER][0],
            payer=transfers_for_engine_benches.PAYER,
            payee=transfers_for_engine_benches.PAYEE,
            currency=CURRENCY,
            amount=transfers_for_engine_benches.AMOUNT,
            condition=row.condition,
            expires_at=row.expires_at,
            digest=b"\0" * 32,
            message=PaymentMessage(row.prepare, there, "1.1"),
        )

    def fulfil(row: Row) -> Fulfil:
        return Fulfil(
            transfer_id=row.transfer_id,
            source_id=parties[transfers_for_engine_benches.PAYEE][0],
            destination=transfers_for_engine_benches.PAYER,
            fulfilment=row.fulfilment,
            moment_fault=None,
            wants_patch=False,
            digest=b"\0" * 32,
            message=PaymentMessage(row.fulfil, back, "1.1"),
        )

    def run(commands: list[Prepare] | list[Fulfil], expected: type) -> None:
        outcomes = engine.run(commands)
        assert all(isinstance(outcome, expected) for outcome in outcomes), outcomes[:1]

    steps: list[Callable[[], None]] = []
    for batch in transfers_for_engine_benches.batches(transfers_for_engine_benches.rows(count), size):
        prepares, fulfils = [prepare(row) for row in batch], [fulfil(row) for row in batch]
        steps += [
            lambda prepares=prepares: run(prepares, Reserved),  # type: ignore[misc]
            lambda fulfils=fulfils: run(fulfils, Committed),  # type: ignore[misc]
        ]
    measure(steps, count, postgres_pid)


if __name__ == "__main__":
    main(*(int(text) for text in sys.argv[1:4]))
