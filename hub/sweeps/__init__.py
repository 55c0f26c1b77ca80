"""Periodic batches in which a faulty row does not stop other rows. `hub.sweeps.isolating_batches` runs the batches.

If a batch cannot process a row, the batch skips the row for a while and then tries the row again. After each failure of
a row, the batch skips this row for a longer time. A table (`hub.sweeps.models`) lists the skipped rows with the
reasons. Operators and batches read the table of skipped rows.
"""
