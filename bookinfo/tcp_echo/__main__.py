"""`python -m bookinfo.tcp_echo`."""

import sys

from bookinfo.tcp_echo import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
