"""The interfaces of Mojaloop's SDK, the reference client: its outbound API and its backend API, version 2.1.

An unchanged front end of the SDK can call the connector. The connector can call an unchanged core of the SDK. The
payments are payments of the connector. So no payment is lost or made twice after a crash.
"""
