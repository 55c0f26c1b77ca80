"""How French writes numbers: a narrow space that does not break groups the digits."""

DECIMAL_SEPARATOR = ","
THOUSAND_SEPARATOR = "\u202f"
NUMBER_GROUPING = 3
