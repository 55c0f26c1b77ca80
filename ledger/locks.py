"""The lock between commits and the closing of a settlement window.

A commit takes this lock in shared mode, and then reads the open window. The closing of a window takes the lock in
exclusive mode. So each commit is in exactly one window, and no commit joins a closed window.
"""

WINDOW_LOCK = 0x4B49_0001
