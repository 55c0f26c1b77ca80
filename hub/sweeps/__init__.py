"""Periodic batches in which a faulty row does not stop other rows. `hub.sweeps.isolating_batches` runs the batches.

If a batch cannot process a row, the batch skips the row for a while and then tries the row again. After each failure,
the batch skips the row for longer. A table (`models`) lists skipped rows with the reasons, for operators and for the
batches.
"""
