"""Reads a field of a submitted form that is not read by a form class."""

from django.core.exceptions import SuspiciousOperation
from django.http import HttpRequest


def posted(request: HttpRequest, name: str) -> str:
    """Returns the text of a field, or "" if the field is missing.

    PostgreSQL cannot store a NUL, so the request gets 400 if the text contains one.
    """
    text: str = request.POST.get(name, "")
    if "\0" in text:
        raise SuspiciousOperation("a field contains a NUL")
    return text
