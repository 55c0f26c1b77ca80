"""Compares the payments in the settlement bank's statements with the expected payments of a settlement."""
