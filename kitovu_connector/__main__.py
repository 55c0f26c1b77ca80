"""python -m kitovu_connector: the command `kitovu-connector`."""

import sys

from kitovu_connector.command_line import main

if __name__ == "__main__":
    sys.exit(main())
