"""Periodic batches in which a faulty row does not stop other rows. `hub.sweeps.isolating_batches` runs the batches.

If a batch cannot process a row, the batch skips the row for a while and then tries the row again. After each further
failure of the row, the batch skips the row for a longer time. A table (`hub.sweeps.models`) contains the skipped rows
and the reasons, for the batches and for operators.
"""
