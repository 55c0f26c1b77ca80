"""The lock that separates the commits of transfers from the closing of a settlement window.

A commit acquires the settlement-window lock in shared mode, and then reads the open window. The closing of a window
acquires the settlement-window lock in exclusive mode. So each commit belongs to exactly one window, and no commit is
added to a closed window.
"""

WINDOW_LOCK = 0x4B49_0001
