"""How Swahili writes numbers. Django has no formats for Swahili."""

DECIMAL_SEPARATOR = "."
THOUSAND_SEPARATOR = ","
NUMBER_GROUPING = 3
