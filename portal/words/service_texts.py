"""The translatable texts with which the hub's services refuse a change.

A service raises an English text, because the administration APIs return this text. Each text here is the text of a
service. A test checks that the texts of the services that change data for the portal are all here.
"""

import re
from functools import cache

from django.utils.translation import gettext
from django.utils.translation import gettext_noop as _

from portal.words import states

TEXTS = (
    # participants
    _("name %(name)s is reserved; choose another"),
    _("Participant %(name)s has already been registered"),
    _("Participant currency has already been registered"),
    _("withdraw all currency pairs with %(currency)s first: it becomes test money"),
    _("%(name)s is live already"),
    _("%(name)s is not live yet"),
    _("%(name)s is leaving; cancel the off-boarding first"),
    _("%(name)s is leaving already"),
    _("%(name)s is not leaving"),
    _("the account was closed for good"),
    _("%(name)s was closed for good"),
    _("%(name)s still has unsettled amounts or funds"),
    _("unsettled windows: %(windows)s"),
    _("some of its certificates, keys or clients are not revoked"),
    _("not empty: what is reserved"),
    _("not empty: %(accounts)s"),
    _("type: %(type)s is not an endpoint type"),
    _("value: must be an http or https URL without user, query, fragment or {{names}} unknown to its type"),
    _("value: %(error)s"),
    _("%(field)s: %(currency)s is not a currency"),
    _("%(field)s: %(currency)s is for tests, and is never converted"),
    _("targetCurrency: must differ from the source currency"),
    _("The participant does not offer this conversion"),
    _("a contact needs an e-mail address or a telephone number"),
    _("this participant has no such contact"),
    # credentials and clients
    _("this certificate, key or client was registered before, for this or another participant"),
    _("another participant has a certificate with this key"),
    _("%(name)s has %(most)s valid clients; revoke one first"),
    _("this participant has no such credential"),
    _("the credential has expired, or its validity ends before it begins"),
    _("scopes: must be one or both of %(scopes)s"),
    _("you have no such client"),
    _("the secret was fetched already, or can no longer be fetched"),
    _("there is no such administration client"),
    # accounts, caps and funds
    _("type: one of %(types)s"),
    _("Hub reconciliation or settlement account for %(currency)s does not exist"),
    _("%(type)s account in %(currency)s has already been registered"),
    _("%(name)s has no accounts in %(currency)s"),
    _("%(name)s has no limit in %(currency)s yet"),
    _("the hub has no account in %(currency)s"),
    _("the SETTLEMENT account of %(name)s is not active"),
    _("Participant Limit or Initial Position already set"),
    _("Only position account update is permitted"),
    _("Account is not a SETTLEMENT account"),
    _("Account is currently set inactive"),
    _("transferId: was used with other content"),
    _("transferId: no such withdrawal of this account"),
    _("the withdrawal is %(state)s already"),
    _("nothing of this settlement is on hold"),
    # windows, settlements and settlement models
    _("Window %(asked)s is not open; %(open)s is"),
    _("Window %(number)s is empty"),
    _("settlementWindows: must name at least one window, and each window only once"),
    _("Settlement model not found"),
    _("Settlement model is not active"),
    _("Settlement model settles each transfer at once; nothing is left for a settlement"),
    _("Settlement window %(number)s not found"),
    _("Inapplicable settlement windows, nothing to settle by this model: %(windows)s"),
    _("a net amount is too large for one entry; settle fewer windows together"),
    _("State change not allowed"),
    _("Settlement not found"),
    _("Settlement Model already exists for %(currency)s and %(type)s"),
    _("Settlement Model already exists"),
    _("Settlement Model does not exist"),
    _("an immediate model needs a currency, and must settle the POSITION account"),
    _("another active model settles the same accounts"),
    _("Ledger Account Type already exists"),
    _("ledgerAccountType: %(type)s is not an account type that can be settled"),
    _("settlementAccountType: %(type)s must be settled into %(wanted)s"),
    _("settlementAccountType: %(type)s is not an account type"),
    _("%(model)s is not a supported settlement model"),
    _("currency: %(currency)s is not an ISO 4217 code"),
    _("currency: %(currency)s is for tests, and is never settled"),
    _("close and settle the windows that hold transfers in %(currency)s first"),
    # the directory
    _("the new DFSP must be active"),
    _("Oracle not found"),
    _("Duplicate oracle for this type and currency"),
    _("endpoint.value: must be an http or https URL without user, query or spaces"),
    _("endpoint.value: %(error)s"),
    # rules, markers and held transfers
    _("the transfer is not held any more"),
    _("a kill switch, or a rule about a list or a marker, refuses the transfer now (%(code)s)"),
    _("%(code)s is no error code of a scheme"),
    _("the time from which the rules apply must not be in the past"),
    _("the rules must end after they begin"),
    _("these rules already apply, or their activation is cancelled"),
    _("there is no version %(number)s of the rules"),
    _("no version has a rule %(rule)s"),
    _("an exception ends after %(days)s days at the latest"),
    _("%(name)s is not a DFSP of this hub"),
    _("at most %(most)s markers and appeals a day"),
    _("markerId: was used for another marker"),
    _("no marker of this party with this number is in force"),
    # replays
    _("stopped by %(name)s"),
    _("the process of the replay did not start: %(error)s"),
    _("the process of the replay ended with %(code)s"),
    _("the process of the replay ended before the replay was complete"),
    _("the hub ended the replay, because the replay reported no progress"),
    _("the replay took longer than %(seconds)s seconds"),
)

_PLACE = re.compile(r"%\\\((\w+)\\\)s")


def words_of(text: str) -> str:
    """Returns the text of a service in the reader's language. An unknown text stays as it is."""
    for template, pattern in _patterns():
        found = pattern.fullmatch(text)
        if found is not None:
            values = {
                name: states.word_of(value) if name == "state" else value for name, value in found.groupdict().items()
            }
            return gettext(template) % values if values else gettext(template)
    return text


@cache
def _patterns() -> list[tuple[str, re.Pattern[str]]]:
    return [(text, re.compile(_PLACE.sub(r"(?P<\1>.+)", re.escape(text)), re.DOTALL)) for text in TEXTS]
