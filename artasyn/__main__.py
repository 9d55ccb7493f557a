"""``python -m artasyn`` runs the command ``artasyn``."""

import sys

from artasyn.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
