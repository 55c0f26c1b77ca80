"""How French writes numbers: a narrow no-break space separates the groups of digits."""

DECIMAL_SEPARATOR = ","
THOUSAND_SEPARATOR = "\u202f"
NUMBER_GROUPING = 3
