"""`python -m xunit_keras`, and the script `xunit-keras`: the command line."""

import sys

from xunit_keras.interrupts import guarded


def main() -> int:
    """Runs the command line; an interruption while it is imported is one too."""

    def run():
        from xunit_keras.cli import main

        return main()

    return guarded(run, "What was written is complete.")


if __name__ == "__main__":
    sys.exit(main())
