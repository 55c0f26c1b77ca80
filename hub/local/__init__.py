"""Everything that `make run` and `make demo` need on one machine: PostgreSQL, Valkey and the hub's own processes.

This package does not import Django. The package works before the first migration, and with wrong settings.
"""
