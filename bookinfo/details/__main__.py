"""`python -m bookinfo.details`."""

import sys

from bookinfo.details import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
