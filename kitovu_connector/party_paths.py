"""Creates the percent-encoded paths of resources."""

from fspiop.paths import path_of


def party_path(resource: str, id_type: str, id_value: str, sub_id: str | None) -> str:
    """Returns the path of /parties or /participants with {Type}/{ID}[/{SubId}] (FSPIOP API v1.1, section 5.1.6.11)."""
    return path_of(resource, *filter(None, (id_type, id_value, sub_id)))
