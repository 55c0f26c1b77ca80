"""The currency of test accounts (ISO 4217: "XTS", reserved for testing).

An entry has one currency (`an_account_has_one_currency`). So a transfer can never turn test money into another
currency. The database refuses this currency in a settlement model, a settlement's content, a currency pair and a
conversion.
"""

TEST_CURRENCY = "XTS"
