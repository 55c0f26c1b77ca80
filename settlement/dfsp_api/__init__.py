"""The part of the hub's API for DFSPs that reads settlements."""
