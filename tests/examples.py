"""How many examples Hypothesis tries of each property: fewer for `make quick`, more for `make thorough`."""

import os

FACTOR = float(os.environ.get("EXAMPLES", "1"))
USUAL = 100


def examples(number: int = USUAL) -> int:
    """So many, or the part or multiple of them that EXAMPLES asks for."""
    return max(1, round(number * FACTOR))
