"""Scheme rules and fraud control: judges each payment at the lookup, at the quote, and in the transaction that reserves
it.
"""
