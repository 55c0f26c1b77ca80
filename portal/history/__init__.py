"""The history of payments by hour, day, week and month, in rows of sums. The table of these rows is
`portal.models.HistoryRow`.

The pages of the history read only these rows. So a page needs the same time after ten thousand payments and after ten
million payments. A periodic task calls `portal.history.fold`, which adds the transfers, quotes and lookups that ended
since the last run.

**Exactly once.** The task reads transfers and quotes in the order of their arrival. One database transaction counts a
slice of rows, and stores the end of the slice in `HistoryMark`. If a transfer or quote of the slice is still open, the
same database transaction adds its id to `HistoryOpen`. A later run counts this transfer or quote. The database
transaction that removes a lookup stores the lookup's times in `EndedLookup`. Later, one database transaction counts
these times and deletes them.

**Late commits.** A row becomes visible when its database transaction commits. So a row can appear after rows with a
later time of arrival. The task therefore reads only rows that arrived at least HORIZON_S ago. Each of these rows also
arrived before the beginning of every database transaction that still writes.

**Scopes.** Each payment is counted in eight rows of each period. A row is about one payer or all payers, about one
payee or all payees, and about one use case or all use cases. In a row of all payers, `payer_id` is ALL. Each row is
about one currency. Lookups, and quotes without terms, have no currency. If a transfer was held and never released,
`payee_id` is NOBODY. So a payee DFSP does not see payments that it never received.

**Durations.** A histogram has four buckets for each doubling of the duration: bucket b counts the durations from
2^(b/4) to 2^((b+1)/4) milliseconds. A percentile is the geometric middle of its bucket. So a percentile is wrong by at
most 9.1 per cent. Only the durations of successful transfers, answered quotes and answered lookups are counted.
"""

from portal.history.folding import fold, horizon
from portal.history.statements import ALL, BUCKETS_PER_DOUBLING, NOBODY, PAYEE, PAYER, UNKNOWN, USE_CASE

__all__ = [
    "ALL",
    "BUCKETS_PER_DOUBLING",
    "NOBODY",
    "PAYEE",
    "PAYER",
    "UNKNOWN",
    "USE_CASE",
    "fold",
    "horizon",
]
