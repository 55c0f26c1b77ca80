"""Scheme rules and fraud control. Rules judge each payment three times: at the lookup, at the quote, and in the
database transaction that reserves the payment.
"""
