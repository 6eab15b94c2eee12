"""`python -m tests.controlplane.translate.regenerate [NAME…]`: write the goldens' expected output anew.

Read the difference in version control before committing it.
"""

import sys

from tests.controlplane.translate import golden


def main(argv: list[str]) -> int:
    """Write the named goldens, or all of them; says which changed."""
    for name in argv or golden.names():
        path = golden.path_of(name)
        text = golden.dump(golden.make(name))
        if not path.exists() or path.read_text() != text:
            path.write_text(text)
            print(f"{name}: written")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
