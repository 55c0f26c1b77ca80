"""Everything that `make run` and `make demo` need on one machine: PostgreSQL, Valkey and the hub's own processes.

This package does not import Django. So it also works before the first migration, or if the hub's settings are wrong.
"""
