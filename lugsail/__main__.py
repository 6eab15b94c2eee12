"""`python -m lugsail` is the `lugsail` command."""

import sys

from lugsail.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
