"""A small example bank: customers, double-entry books, and a connector as its only link to the scheme."""
