"""Periodic batches in which one bad row stops no other: `hub.sweeps.batches` runs them.

What a batch could not work on it skips for a while, longer each time, and tries again. Which rows these are and why
stands in a table (`models`), from which operators see it; nothing else depends on it.
"""
