"""Periodic batches in which one bad row stops no other; `hub.sweeps.isolating_batches` runs them.

A row that a batch cannot process is skipped for a while, longer each time, and then tried again. A table (`models`)
lists these rows and the reasons for operators; nothing else depends on it.
"""
