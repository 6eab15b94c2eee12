"""`python -m services.tracing`."""

import sys

from services.tracing.main import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
