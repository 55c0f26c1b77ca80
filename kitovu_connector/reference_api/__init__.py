"""The two interfaces of Mojaloop's SDK, the reference client: the outbound API, and the backend API (version 2.1).

A front end of the SDK can call the connector without any change. The connector can call a core of the SDK without any
change. The connector stores these payments like all its other payments. So after a crash, no payment is lost or made
twice.
"""
