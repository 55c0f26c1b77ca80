"""The translatable words in the subjects of requests and of audit entries, such as "settlement 5".

The database, the audit trail and the APIs contain the untranslated subject. The pages show the words.
"""

import re

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

# The names of participants and users contain no spaces, so a pattern never matches such a name.
_PATTERNS: tuple[tuple[re.Pattern[str], Promise], ...] = (
    (re.compile(r"settlement (?P<name>\d+)"), _("settlement %(name)s")),
    (re.compile(r"list (?P<name>.+)"), _("list %(name)s")),
    (re.compile(r"oracle for (?P<name>.+)"), _("oracle for %(name)s")),
    (re.compile(r"oracle (?P<number>\d+) for (?P<name>.+)"), _("oracle %(number)s for %(name)s")),
    (re.compile(r"registration (?P<number>\d+) of (?P<name>.+)"), _("registration %(number)s of %(name)s")),
    (re.compile(r"name match (?P<name>\d+)"), _("name match %(name)s")),
    (re.compile(r"kill switch (?P<name>-?\d+)"), _("kill switch %(name)s")),
    (re.compile(r"marker (?P<name>\d+)"), _("marker %(name)s")),
    (re.compile(r"party (?P<name>-?\d+)"), _("party %(name)s")),
    (re.compile(r"appeal (?P<name>\d+)"), _("appeal %(name)s")),
    (re.compile(r"alarm (?P<name>\d+)"), _("alarm %(name)s")),
    (re.compile(r"alert (?P<name>\d+)"), _("alert %(name)s")),
    (re.compile(r"window (?P<name>\d+)"), _("window %(name)s")),
    (re.compile(r"rules (?P<name>\d+)"), _("version %(name)s of the rules")),
    (re.compile(r"no rules"), _("no rules")),
)
# The subject of these actions is a page. A participant can have the same name as a page.
_ON_PAGES = frozenset({"alias_looked_up", "shared_aliases_listed", "transfers_exported", "history_exported"})
_PAGES: dict[str, Promise] = {
    "alerts": _("Alerts"),
    "directory": _("Directory"),
    "history": _("History"),
    "markers": _("Fraud markers"),
    "payments": _("Find a payment"),
    "transfers": _("Transfers"),
}
_RULES = frozenset({"activate_rules", "cancel_rules"})
_WITH_FREE_NAMES = frozenset({"add_administration_client"})  # such a name can look like a pattern


def words_of(subject: str, kind: str) -> str:
    """Returns the subject of a request of this kind, in the visitor's language. A name keeps its form."""
    if kind in _RULES:
        return str(_("the scheme's rules"))
    if kind in _WITH_FREE_NAMES:
        return subject
    return _in_words(subject)


def words_of_entry(subject: str, action: str) -> str:
    """Returns the subject of an audit entry with this action, in the visitor's language. A name keeps its form."""
    if action in _ON_PAGES and subject in _PAGES:
        return str(_PAGES[subject])
    return _in_words(subject)


def _in_words(subject: str) -> str:
    for pattern, words in _PATTERNS:
        if found := pattern.fullmatch(subject):
            return str(words) % found.groupdict()
    return subject
