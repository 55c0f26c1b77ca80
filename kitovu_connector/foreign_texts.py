"""Makes texts from other parties harmless in a spreadsheet and on a terminal."""

from typing import Any

_FORMULA = ("=", "+", "-", "@")


def in_spreadsheet(text: str) -> str:
    """Returns the text in a form that no spreadsheet reads as a formula."""
    return f"'{text}" if text.lstrip().startswith(_FORMULA) else text


def on_terminal(found: Any) -> Any:
    """Returns JSON without control characters, because a terminal could execute a control character in a text as a
    command.
    """
    if isinstance(found, str):
        return found if found.isprintable() else "".join(each if each.isprintable() else " " for each in found)
    if isinstance(found, list):
        return [on_terminal(each) for each in found]
    if isinstance(found, dict):
        return {name: on_terminal(value) for name, value in found.items()}
    return found
