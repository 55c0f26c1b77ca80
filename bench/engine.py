"""The ledger's engine without HTTP: the rows of `bench.limit`, by `ledger.engine.run` (`python -m bench.engine`)."""

import sys
from collections.abc import Callable

from bench import rows
from bench.messages import CURRENCY
from bench.rows import Row


def main(count: int, size: int, postgres_pid: int) -> None:
    """Prints one JSON line."""
    import django

    django.setup()
    from bench.alone import measure
    from hub import outbox
    from ledger import engine
    from ledger.messages import Committed, Fulfil, Prepare, Reserved, Wire

    outbox.poke = lambda destination_ids: None  # there is no courier to wake
    parties = rows.onboard()
    there, back = rows.headers(rows.PAYER, rows.PAYEE), rows.headers(rows.PAYEE, rows.PAYER)

    def prepare(row: Row) -> Prepare:
        return Prepare(
            transfer_id=row.transfer_id,
            source_id=parties[rows.PAYER][0],
            payer=rows.PAYER,
            payee=rows.PAYEE,
            currency=CURRENCY,
            amount=rows.AMOUNT,
            condition=row.condition,
            expires_at=row.expires_at,
            digest=b"\0" * 32,
            wire=Wire(row.prepare, there, "1.1"),
        )

    def fulfil(row: Row) -> Fulfil:
        return Fulfil(
            transfer_id=row.transfer_id,
            source_id=parties[rows.PAYEE][0],
            destination=rows.PAYER,
            fulfilment=row.fulfilment,
            moment_fault=None,
            wants_patch=False,
            digest=b"\0" * 32,
            wire=Wire(row.fulfil, back, "1.1"),
        )

    def run(commands: list[Prepare] | list[Fulfil], expected: type) -> None:
        outcomes = engine.run(commands)
        assert all(isinstance(outcome, expected) for outcome in outcomes), outcomes[:1]

    steps: list[Callable[[], None]] = []
    for batch in rows.batches(rows.rows(count), size):
        prepares, fulfils = [prepare(row) for row in batch], [fulfil(row) for row in batch]
        steps += [
            lambda prepares=prepares: run(prepares, Reserved),  # type: ignore[misc]
            lambda fulfils=fulfils: run(fulfils, Committed),  # type: ignore[misc]
        ]
    measure(steps, count, postgres_pid)


if __name__ == "__main__":
    main(*(int(text) for text in sys.argv[1:4]))
