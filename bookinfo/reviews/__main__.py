"""`python -m bookinfo.reviews`."""

import sys

from bookinfo.reviews import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
