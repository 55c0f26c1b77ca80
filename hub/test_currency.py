"""The currency of test accounts (ISO 4217: "XTS", reserved for testing).

Each account has one currency, and both accounts of an entry have the same currency. So a transfer can never turn test
money into another currency. The database refuses this currency in a settlement model and in a settlement's content.
As soon as the hub has a certifier, the database also refuses this currency in a currency pair and in a conversion.
Without a certifier, the currency can be converted, because Mojaloop's test suites convert it.
"""

from collections.abc import Collection

TEST_CURRENCY = "XTS"
NEVER_CONVERTED = f"{TEST_CURRENCY} is for tests, and is never converted"
"""The text of the API's error."""
REFUSED_BY_DATABASE = f"{TEST_CURRENCY} is test money of the certifier, and is never converted"
"""The text of the error of the triggers."""


def is_test_payment(tested_by: int | None, counterpart_id: int, currencies: Collection[str]) -> bool:
    """Returns whether a participant that is not yet live may make or receive this payment as a test.

    `tested_by` is the id of the certifier that certifies the participant before its go-live. `tested_by` is None if
    nobody certifies the participant now. The payment's other participant must be the certifier. All amounts of the
    payment must be in the test currency.
    """
    return tested_by is not None and tested_by == counterpart_id and set(currencies) == {TEST_CURRENCY}
