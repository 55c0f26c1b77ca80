"""Certification: the hub tests a DFSP with scripted cases, and signs a report of the results.

The certifier is a participant of the hub. It sends and receives real messages through the hub, in the test currency.
The hub records what the DFSP sends (`hub.recordings`), so a case judges the message itself, even if the hub refused it.
"""
