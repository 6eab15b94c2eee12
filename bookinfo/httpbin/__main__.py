"""`python -m bookinfo.httpbin`."""

import sys

from bookinfo.httpbin import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
