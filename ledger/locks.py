"""The lock between commits and the closing of a settlement window.

Commits hold the lock shared, and read the open window after they have the lock. Closing holds the lock exclusively. So
each commit is in exactly one window, and no commit joins a closed window.
"""

WINDOW_LOCK = 0x4B49_0001
