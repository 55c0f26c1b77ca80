"""Messages that others signed and packets that others wrote: what this code must agree with."""

# API Signature v1.1, section 4. The printed signature has lost three hyphens at its line ends; with them put back it
# is what the printed key signs over the printed payload.
SPEC_KEY_MODULUS = (
    "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yR"
    "T-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXB"
    "dQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9ia"
    "GNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ"
)
SPEC_BODY = (
    '{"payee":{"partyIdInfo":{"partyIdType":"MSISDN","partyIdentifier":"15295558888","fspId":"5678"}},"am'
    'ountType":"RECEIVE","transactionType":{"scenario":"TRANSFER","initiator":"PAYER","subScenario":"P2P '
    'Transfer across MM systems","initiatorType":"CONSUMER"},"note":"this is a sample for POST /quotes","'
    'amount":{"amount":"150","currency":"USD"},"fees":{"amount":"1.5","currency":"USD"},"extensionList":['
    '{"value":"value1","key":"key1"},{"value":"value2","key":"key2"},{"value":"value3","key":"key3"}],"ge'
    'oCode":{"latitude":"57.323889","longitude":"125.520001"},"expiration":"2017-05-24T08:40:00.000-04:00'
    '","payer":{"personalInfo":{"complexName":{"firstName":"Bill","middleName":"Ben","LastName":"Lee"},"d'
    'ateOfBirth":"1986-02-14"},"partyIdInfo":{"partyIdType":"MSISDN","partySubIdOrType":"RegisteredCustom'
    'er","partyIdentifier":"16135551212","fspId":"1234"},"name":"Bill Lee"},"quoteId":"59e331fa-345f-4554'
    '-aac8-fcd8833f7d50","transactionId":"36629a51-393a-4e3c-b347-c2cb57e1e1fc"}'
)
SPEC_PROTECTED_HEADER = (
    "eyJhbGciOiJSUzI1NiIsIkZTUElPUC1EZXN0aW5hdGlvbiI6IjU2NzgiLCJGU1BJT1AtVVJJIjoiL3F1b3RlcyIsIkZTUElPUC1I"
    "VFRQLU1ldGhvZCI6IlBPU1QiLCJEYXRlIjoiVHVlLCAyMyBNYXkgMjAxNyAyMToxMjozMSBHTVQiLCJGU1BJT1AtU291cmNlIjoi"
    "MTIzNCJ9"
)
SPEC_SIGNATURE = (
    "dz2ntyS0_rDyA0pLeWluG--tBcYYrlvG99ffkXcEB-uve5Qzvzyn0ZUi82J7h17RsdfHPuTnbEGvCeU9Y4Bg0nIZHGL4icswaaO0"
    "9T5hPPY-KBTzVQeHkokLmL4dXpHdr1ggSEpu3WEU3nfgOFGGAdOq355i1iGuDbhqm_lSfVHaqdVCEhkJ2Y_r2glO2QpdZrcbvsBV"
    "39derj_PlfISBBGjdh0dIPxnFIVcZuPHiq9Ha2MslrBHfqwFfNeU_xhErBd2PywkDQJbKOlfqdkmFC9bS8Ofx0O6Mg7qdFGw-Qks"
    "eJTfp0HMbH1d9e6H0cocY8xfuDNGaZpOJhxiYtiPLg"
)

# A PUT /transfers signed by the Mojaloop sdk-standard-components 19.19.1, with a key made for it.
SDK_KEY = """-----BEGIN PUBLIC KEY-----
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEA6QjBN81eXnhH4oStUm2u
uxMFL/LTx1UFTaED9Ymf+g+gdAUMgIzxpGUq/6qRLOkSL97DyOzd9DwmlYMcp7ZC
t4Bx7aYXduTwZTP9UxmRTtXYCVSlKZce0MN0wBo7s6qbCLKBnn444qyzDRh2XTY7
UJ/IhiT4m2jxuT61jXjam+zEkGcYyiVQTOfO4fn454RZ6stUk9sMFuLM7nGESssY
rNVWOLfEu7DnYjih1LgseiylO/Z00+jLDpYrsMvwgCA8OFbvqAO6hVCUaHzJTcUO
cBSq0FOeh7x/TG2NjlGuDx5onV7DefLRqRMjZ9lP7iEQHhvJ22NXl1FtosX/6sAk
eQIDAQAB
-----END PUBLIC KEY-----
"""
SDK_BODY = (
    '{"completedTimestamp":"2017-05-23T21:12:31.000Z","extensionList":{"extension":[{"key":"naïve","value'
    '":"Zoë 𐐷"}]},"fulfilment":"mhPUT9ZAwd-BXLfeSd7-YPh46rBWRNBiTCSWjpku90s","transferState":"COMMITTED"}'
)
SDK_PROTECTED_HEADER = (
    "eyJhbGciOiJSUzI1NiIsIkZTUElPUC1VUkkiOiIvdHJhbnNmZXJzL2I1MWVjNTM0LWVlNDgtNDU3NS1iNmE5LWVhZDI5NTViODA2"
    "OSIsIkZTUElPUC1IVFRQLU1ldGhvZCI6IlBVVCIsIkZTUElPUC1Tb3VyY2UiOiJibHVlIiwiRlNQSU9QLURlc3RpbmF0aW9uIjoi"
    "Z3JlZW4iLCJEYXRlIjoiVHVlLCAyMyBNYXkgMjAxNyAyMToxMjozMSBHTVQifQ"
)
SDK_SIGNATURE = (
    "eHd1113y7Nf7SsL8LG00U3BZWFtxKMaiO2IQQtpBX2HmUBSTQ1O4oXEGRJQUvzL4yzrP28TWVUDIPb5dU_fnRhlfsQz3MfeJCzwn"
    "Og9VNdLawXdVNxg-dMC8Q1cUwz-6XXAsI9jnZGCMjewdDj2foeJ2lbkz_wbH7OCiBSGP5WDSYzyctT9yJWppoXomwH_zftCVq7sZ"
    "Ok9JXF9tP25CBrCg2NXR8yfIxLJnoO88Z0tMdQIvx9s3sqnTwF9kU8OKSIzcvFEqZSfMN9UMHHJifcwVZRmEoo1Ow5LxMFVZRYFP"
    "sNm6pyCjTT8WdkHvVrL9eDfCAKLQw-UR-umtxuvf3g"
)

# amount, account, data, and the packet that ilp-packet 2.2.0 writes.
ILP_PACKETS = [
    (0, "g", b"", "AQwAAAAAAAAAAAFnAAA"),
    (
        9900,
        "g.se.mobilemoney.msisdn.123456789",
        b"x" * 10,
        "ATYAAAAAAAAmrCFnLnNlLm1vYmlsZW1vbmV5Lm1zaXNkbi4xMjM0NTY3ODkKeHh4eHh4eHh4eAA",
    ),
    (
        2**64 - 1,
        "g.blue.msisdn.1",
        b"y" * 127,
        "AYGZ__________8PZy5ibHVlLm1zaXNkbi4xf3l5eXl5eXl5eXl5eXl5eXl5eXl5eXl5eXl5eXl5eXl5eXl5eXl5eXl5eXl5eXl5"
        "eXl5eXl5eXl5eXl5eXl5eXl5eXl5eXl5eXl5eXl5eXl5eXl5eXl5eXl5eXl5eXl5eXl5eXl5eXl5eXl5eXl5eXl5eXl5eXl5eXl5"
        "eXl5eXkA",
    ),
    (
        1,
        "g.b",
        b"z" * 128,
        "AYGPAAAAAAAAAAEDZy5igYB6enp6enp6enp6enp6enp6enp6enp6enp6enp6enp6enp6enp6enp6enp6enp6enp6enp6enp6enp6"
        "enp6enp6enp6enp6enp6enp6enp6enp6enp6enp6enp6enp6enp6enp6enp6enp6enp6enp6enp6enp6enp6enp6enp6egA",
    ),
]
