"""Reads the extension in which the hub reports the cause of an abort."""

import re

from fspiop.bodies.common import ExtensionList

_CAUSE = re.compile(r"([1-9][0-9]{3}): ?(.*)", re.DOTALL)


def cause_in(extensions: ExtensionList | None) -> tuple[str, str] | None:
    """Returns the code and description of an abort ("5104: no"), or None if the hub reports no cause."""
    for extension in extensions.extension if extensions is not None else ():
        if extension.key == "cause" and (found := _CAUSE.match(extension.value)):
            return found[1], found[2]
    return None
