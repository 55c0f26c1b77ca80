"""Token buckets of DFSPs. The buckets are in the database, so all processes of the hub share the buckets."""

from hub.sql_execution import execute

_NOW = "least(%s::float8, b.tokens + %s::float8 * extract(epoch FROM clock_timestamp() - b.counted_at)::float8)"
_TAKE = f"""
    INSERT INTO rules_signals_tokenbucket AS b (participant_id, kind, tokens, counted_at)
    SELECT %s, %s, %s::float8, clock_timestamp() WHERE %s::float8 >= %s::float8
    ON CONFLICT (participant_id, kind) DO UPDATE SET tokens = {_NOW} - %s::float8, counted_at = clock_timestamp()
    WHERE {_NOW} >= %s::float8
    RETURNING tokens
"""


def take(participant_id: int, kind: str, *, cost: float, most: float, per_s: float, least: float | None = None) -> bool:
    """Takes tokens from the DFSP's bucket for this kind of request. If the bucket has too few tokens, returns False and
    takes no tokens.

    A new bucket is full, with `most` tokens. The bucket gets `per_s` tokens each second. If the bucket has at least
    `least` tokens, the hub accepts the request and subtracts the full cost of the request. The number of tokens can
    become negative, so that the DFSP waits longer. A request waits only for simultaneous requests from the same DFSP.
    """
    needed = cost if least is None else least
    now = [most, per_s]
    row = execute(_TAKE, [participant_id, kind, most - cost, most, needed, *now, cost, *now, needed]).fetchone()
    return row is not None
