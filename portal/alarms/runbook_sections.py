"""The sections of docs/operators.md about alarms, as HTML.

`runbooks/` has the sections in the portal's other languages. In the heading of a translated section is the digest of
the English text that the section translates. A test fails if the English text has changed since.
"""

import re
from functools import cache
from pathlib import Path

from django.conf import settings
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import get_language
from markdown_it import MarkdownIt

_SECTION = re.compile(r"^### Alarm `(\w+)`: [^\n]*\n(.*?)(?=^##|\Z)", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[([^\]]*)\]\([^)]*\)")


@cache
def _sections(language: str) -> dict[str, str]:
    translated = Path(__file__).parent / "runbooks" / f"{language}.md"
    path = translated if translated.is_file() else settings.BASE_DIR / "docs" / "operators.md"
    return dict(_SECTION.findall(path.read_text())) if path.is_file() else {}


def kinds() -> frozenset[str]:
    """Returns the kinds of alarm that have a section."""
    return frozenset(_sections("en"))


def html_of(kind: str) -> SafeString | None:
    """Returns the text that explains what to do about this kind of alarm, in the visitor's language. If the
    documentation has no section for this kind, returns None."""
    text = _sections(get_language() or "en").get(kind)
    if text is None:
        return None
    # The page has no links, because the portal does not have the linked pages. The renderer escapes HTML in the text.
    return mark_safe(MarkdownIt("js-default").render(_LINK.sub(r"\1", text)))  # noqa: S308 (our own document)
