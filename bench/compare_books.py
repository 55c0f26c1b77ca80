"""Compares the payer's books, the hub and the payee's books, transfer by transfer."""

from collections.abc import Collection, Mapping
from typing import Any


def compare(notes: Mapping[str, Mapping[str, Any]], at_hub: Collection[Mapping[str, Any]]) -> list[str]:
    """Returns a sentence for each transfer that is missing in the books of the payer, the hub or the payee.

    `notes` has the records of each DFSP.
    """
    hub = {t["transferId"]: (t["payer"], t["payee"]) for t in at_hub if t["payer"] in notes and t["payee"] in notes}
    paid = {key: name for name, note in notes.items() for key, (_, said) in note["ends"].items() if said == "COMMITTED"}
    received = {
        key: name
        for name, note in notes.items()
        for key, (_, _, status) in note["prepares"].items()
        if status == 200 and key not in note["undone"]
    }
    faults = []
    for key, (payer, payee) in hub.items():
        if (paid.get(key), received.get(key)) != (payer, payee):
            faults.append(f"{key}: the hub has {payer} -> {payee}, the books {paid.get(key)} -> {received.get(key)}")
    for key in sorted((paid.keys() | received.keys()) - hub.keys()):
        faults.append(f"{key}: only in the books of {paid.get(key) or received.get(key)}")
    return faults
