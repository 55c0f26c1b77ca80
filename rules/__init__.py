"""Scheme rules and fraud control. They judge each payment at the lookup, at the quote, and in the transaction that
reserves it.
"""
