"""The sections of docs/operators.md about alarms, as HTML.

The text of a section is in English, because the section is a part of the documentation.
"""

import re
from functools import cache

from django.conf import settings
from django.utils.safestring import SafeString, mark_safe
from markdown_it import MarkdownIt

_SECTION = re.compile(r"^### Alarm `(\w+)`: [^\n]*\n(.*?)(?=^##|\Z)", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[([^\]]*)\]\([^)]*\)")


@cache
def _sections() -> dict[str, str]:
    path = settings.BASE_DIR / "docs" / "operators.md"
    return dict(_SECTION.findall(path.read_text())) if path.is_file() else {}


def kinds() -> frozenset[str]:
    """Returns the kinds of alarm that have a section."""
    return frozenset(_sections())


def html_of(kind: str) -> SafeString | None:
    """Returns the text that explains what to do about this kind of alarm. If the documentation has no section for this
    kind, returns None."""
    text = _sections().get(kind)
    if text is None:
        return None
    # The page has no links, because the portal does not have the linked pages. The renderer escapes HTML in the text.
    return mark_safe(MarkdownIt("js-default").render(_LINK.sub(r"\1", text)))  # noqa: S308 (our own document)
