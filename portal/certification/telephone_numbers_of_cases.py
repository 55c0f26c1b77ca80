"""The certifier's customers. If the DFSP pays in a case, the case has a separate payee. So the payee in a message shows
to which case the message belongs.

A refund goes to the customer who paid: the payer of the case payee-transfer is the payee of payer-refund, and the payee
of payer-transfer is the payer of payee-refund.

The numbers of these payees begin with 999, because no country has the code 999. Because of
`directory.certifier_numbers`, no DFSP can register these numbers.
"""

PAID = "999000000001"
UNKNOWN = "999000000002"
REJECTS = "999000000003"
SILENT = "999000000004"
TWICE = "999000000005"
BADLY_SIGNED = "999000000006"
REFUNDED = "999000000007"
"""The payer of the payment that the DFSP refunds later, and the payee of this refund."""
ASKED = "999000000008"
PAYER = "999000000009"
"""The payer in the other cases that test the DFSP as the payee. This payer is a customer of the certifier."""
BULK = "999000000010"

ALIASES = (PAID, UNKNOWN, REJECTS, SILENT, TWICE, BADLY_SIGNED, REFUNDED, ASKED, PAYER, BULK)
