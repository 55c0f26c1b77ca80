"""Certification: the hub tests a DFSP with scripted cases, and signs a report of the results.

The certifier is a participant of the hub. The certifier sends and receives real messages through the hub, in the test
currency. With `hub.recordings`, the hub records the messages that the DFSP sends. So a case judges the message itself,
even if the hub refused the message.
"""
