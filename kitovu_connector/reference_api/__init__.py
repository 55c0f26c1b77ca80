"""The interfaces of Mojaloop's SDK, the reference client: its outbound API and its backend API, version 2.1.

A front end that calls the SDK calls the connector instead, and a core that the SDK calls is called by the connector.
Both stay as they are. The payments are the connector's own, so that no crash loses or doubles one.
"""
