"""A bank in a few hundred lines: customers, double-entry books, and its connector as the only way out."""
