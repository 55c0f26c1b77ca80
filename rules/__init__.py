"""Scheme rules and fraud control. Rules judge each payment at the lookup, at the quote, and in the transaction that
reserves it.
"""
