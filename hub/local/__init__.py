"""Everything `make run` and `make demo` need on one machine: PostgreSQL, Valkey and the hub's own processes.

Nothing here imports Django, so it works before the first migration and before settings are right.
"""
