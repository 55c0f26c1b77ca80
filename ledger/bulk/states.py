"""A table of the states of a bulk transfer, and of the changes that are permitted between these states. A database
trigger allows only the changes in this table.

The names of the states are from FSPIOP API v1.1, section 7.5.4. The API's states PENDING and PROCESSING are for hubs
that process a bulk in parts. Kitovu does not use the states PENDING and PROCESSING, because each step of a bulk is one
database transaction.
"""

from enum import StrEnum


class BulkState(StrEnum):
    RECEIVED = "RECEIVED"  # never in the database: one database transaction decides a bulk and stores the result
    ACCEPTED = "ACCEPTED"  # at least one item is reserved, and the hub has sent the reserved items to the payee
    COMPLETED = "COMPLETED"  # the payee has answered, and each item has an outcome
    REJECTED = "REJECTED"  # final: no item is committed


class BulkMove(StrEnum):
    RESERVE = "RESERVE"
    REFUSE = "REFUSE"
    ANSWER = "ANSWER"
    REJECT = "REJECT"
    EXPIRE = "EXPIRE"
    INVALIDATE = "INVALIDATE"


NEXT: dict[tuple[BulkState, BulkMove], BulkState] = {
    (BulkState.RECEIVED, BulkMove.RESERVE): BulkState.ACCEPTED,
    (BulkState.RECEIVED, BulkMove.REFUSE): BulkState.REJECTED,
    (BulkState.ACCEPTED, BulkMove.ANSWER): BulkState.COMPLETED,
    (BulkState.ACCEPTED, BulkMove.REJECT): BulkState.REJECTED,
    (BulkState.ACCEPTED, BulkMove.EXPIRE): BulkState.REJECTED,
    (BulkState.ACCEPTED, BulkMove.INVALIDATE): BulkState.REJECTED,
}

TERMINAL = frozenset({BulkState.COMPLETED, BulkState.REJECTED})
