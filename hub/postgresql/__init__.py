"""Django's database backend for PostgreSQL, with faster checks for closed connections."""
