"""Periodic batches in which a faulty row does not stop other rows. `hub.sweeps.isolating_batches` runs the batches.

If a batch cannot process a row, it skips the row for a while and then tries again. Each time, it skips the row for
longer. A table (`models`) lists these rows with the reasons, for operators and for the batches themselves.
"""
