"""Changes the sub-ids of registrations to one spelling.

Since this version, the hub finds sub-ids only in this spelling.

If two registrations would become the same alias, only one of them has the new spelling. If a registration already had
the new spelling, this registration keeps the new spelling. If no registration had the new spelling, the oldest
registration gets the new spelling. The other registrations do not change, and the hub does not find them any more.
"""

import unicodedata
from collections.abc import Iterator
from typing import Any

from django.db import IntegrityError, migrations, transaction

_MANY = 1000


def respell(apps: Any, _schema_editor: Any) -> None:
    """Changes each row in a small transaction, because the hub processes requests during the migration. Few
    registrations have a sub-id."""
    rows = apps.get_model("directory", "PartyIdentifier").objects
    for group in _groups(rows):
        with transaction.atomic():
            for number, sub_id in group:
                _respell(rows, number, sub_id)


def _groups(rows: Any) -> Iterator[list[tuple[int, str]]]:
    last = 0
    while group := list(rows.exclude(sub_id="").filter(id__gt=last).order_by("id").values_list("id", "sub_id")[:_MANY]):
        last = group[-1][0]
        yield group


def _respell(rows: Any, number: int, sub_id: str) -> None:
    canonical = _canonical(sub_id)
    if canonical == sub_id or len(canonical) > 128:
        return
    try:
        with transaction.atomic():
            rows.filter(pk=number, sub_id=sub_id).update(sub_id=canonical)
    except IntegrityError:
        pass  # another registration has this alias


def _canonical(sub_id: str) -> str:
    """Returns the sub-id as `directory.aliases.sub_key` returned it when this migration was written."""
    text = unicodedata.normalize("NFC", sub_id)
    while "  " in text:
        text = text.replace("  ", " ")
    return unicodedata.normalize("NFC", text.upper())


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("directory", "0004_lookups_that_ended")]

    operations = [migrations.RunPython(respell, migrations.RunPython.noop)]
