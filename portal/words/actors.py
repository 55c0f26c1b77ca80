"""The words for the people who made a change, such as "asha, approved by ben".

The database and the files contain the English text. The pages show it in the visitor's language. A user name contains
no comma and no space.
"""

import re

from django.utils.translation import gettext as _

_APPROVED = re.compile(r"(?P<asker>[^,]+), approved by (?P<checkers>[^,]+)")


def words_of(actor: str) -> str:
    """Returns the requester and the people who approved, in the visitor's language. Another text stays as it is."""
    found = _APPROVED.fullmatch(actor)
    if found is None:
        return actor
    names = found["checkers"].split(" and ")
    if len(names) == 1:
        return _("%(asker)s, approved by %(checker)s") % {"asker": found["asker"], "checker": names[0]}
    said = {"asker": found["asker"], "first": names[0], "second": names[1]}
    return _("%(asker)s, approved by %(first)s and %(second)s") % said
