"""``python -m drift`` runs the command line."""

import sys

from drift._cli import main

if __name__ == "__main__":
    sys.exit(main())
