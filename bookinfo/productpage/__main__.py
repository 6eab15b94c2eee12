"""`python -m bookinfo.productpage`."""

import sys

from bookinfo.productpage import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
