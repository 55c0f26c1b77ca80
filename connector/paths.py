"""Paths of resources, percent-encoded as they go on the wire."""

from urllib.parse import quote


def party_path(resource: str, id_type: str, id_value: str, sub_id: str | None) -> str:
    """/parties or /participants with {Type}/{ID}[/{SubId}] (FSPIOP API v1.1, section 5.1.6.11)."""
    return "/" + "/".join([resource, *(quote(part, safe="@:+") for part in (id_type, id_value, sub_id) if part)])
