"""Reads a field of a submitted form, if no form class reads this field."""

from django.core.exceptions import SuspiciousOperation
from django.http import HttpRequest


def posted(request: HttpRequest, name: str) -> str:
    """Returns the text of a field, or "" if the field is missing.

    If the text contains a NUL, the request gets 400, because PostgreSQL cannot store a NUL.
    """
    text: str = request.POST.get(name, "")
    if "\0" in text:
        raise SuspiciousOperation("a field contains a NUL")
    return text
