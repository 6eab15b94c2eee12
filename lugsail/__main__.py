"""`python -m lugsail` is the `lugsail` command."""

import signal
import sys


def main() -> int:
    """The command. Ctrl-C while it still loads its own code ends it at once: raised inside an import, a
    KeyboardInterrupt would be shown as a traceback, or be lost."""
    handler = signal.getsignal(signal.SIGINT)
    if handler is signal.default_int_handler:  # a job in the background ignores it
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from lugsail.cli.main import main as command

    signal.signal(signal.SIGINT, handler)
    return command()


if __name__ == "__main__":
    sys.exit(main())
