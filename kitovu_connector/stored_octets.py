"""Limits the octets of the requests that the connector stores for each sender. Triggers of the database count these
octets.
"""

from fspiop.errors import ErrorCode, FspiopError
from kitovu_connector.group_commit import Connection


def check_room(conn: Connection, sender: str, most: int) -> None:
    """Raises FspiopError 2005 if the stored requests of this sender together have more than `most` octets."""
    row = conn.execute("SELECT octets FROM stored_octets WHERE sender = ?", (sender,)).fetchone()
    if row is not None and row["octets"] > most:
        raise FspiopError(ErrorCode.SERVER_BUSY, "too many requests are stored", http_status=503)
