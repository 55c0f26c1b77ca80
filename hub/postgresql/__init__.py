"""Django's backend for PostgreSQL, with its own checks for closed connections."""
