"""`python -m bookinfo.ratings`."""

import sys

from bookinfo.ratings import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
