"""The characters that a person's name may have (FSPIOP API v1.1, sections 7.2.4 and 7.3.15).

Python's regular expressions have no Unicode categories. Python's `\\w` does not match the combining marks of Burmese,
Hindi and Thai names. This module collects the combining marks from Python's own tables.
"""

import unicodedata
from collections.abc import Iterator

_CATEGORIES = frozenset({"Mn", "Mc", "Me", "Pc"})  # combining marks, and punctuation that connects words
_JOINERS = "\u200c\u200d"
_VARIATION_SELECTORS = "\U000e0100-\U000e01ef"  # no other characters beyond U+1FFFF are in these categories
_END = 0x20000


def _ranges() -> Iterator[str]:
    first = 0
    for code in range(0x80, _END):
        if unicodedata.category(chr(code)) in _CATEGORIES:
            first = first or code
        elif first:
            yield f"{chr(first)}-{chr(code - 1)}"
            first = 0


NAME = rf"^(?!\s*\Z)[\w .,'{''.join(_ranges())}{_JOINERS}{_VARIATION_SELECTORS}\-]{{1,128}}\Z"
