"""Rows that cannot be worked on: PostgreSQL refuses what is done to them."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection
from django.db.models.functions import Now

from hub.sweeps.models import SkippedRow


@contextmanager
def poisoned(
    table: str, column: str, key: object, *, when: str = "BEFORE UPDATE", at_commit: bool = False
) -> Iterator[None]:
    """While this is open a statement on the row of this key fails; `at_commit`: the transaction, when it commits."""
    row = "OLD" if "DELETE" in when else "NEW"
    kind, each = (
        ("CONSTRAINT TRIGGER", "DEFERRABLE INITIALLY DEFERRED FOR EACH ROW")
        if at_commit
        else ("TRIGGER", "FOR EACH ROW")
    )
    with connection.cursor() as cursor:
        cursor.execute(
            f"""CREATE FUNCTION poison() RETURNS trigger LANGUAGE plpgsql AS $$
                BEGIN
                    IF {row}.{column}::text = '{key}' THEN RAISE EXCEPTION 'row % is poisoned', {row}.{column}; END IF;
                    RETURN {row};
                END $$;
                CREATE {kind} zz_poison {when} ON {table} {each} EXECUTE FUNCTION poison()"""
        )
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute("DROP FUNCTION poison CASCADE")


def skipped() -> list[tuple[str, str, str]]:
    """(batch, row, why) of what is skipped now."""
    return list(SkippedRow.objects.order_by("batch", "row").values_list("batch", "row", "error"))


def pause_is_over() -> None:
    """As if the time had come to try again what is skipped."""
    SkippedRow.objects.update(due_at=Now())
