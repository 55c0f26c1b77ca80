"""The lock between commits and the closing of a settlement window.

Commits hold this lock in shared mode, and read the open window after they have the lock. The closing of a window holds
the lock in exclusive mode. So each commit is in exactly one window, and no commit joins a closed window.
"""

WINDOW_LOCK = 0x4B49_0001
