"""The hub has an API of its own for DFSPs. In this part of the API, DFSPs read settlements."""
