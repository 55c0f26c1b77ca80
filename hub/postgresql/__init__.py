"""Django's backend for PostgreSQL, with its own idea of which connections are worth using."""
