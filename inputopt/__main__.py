"""`python -m inputopt` is the command line."""

import sys

from inputopt.cli.main import main

sys.exit(main())
