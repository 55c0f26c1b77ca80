"""Django's backend for PostgreSQL, with its own checks of which connections still work."""
