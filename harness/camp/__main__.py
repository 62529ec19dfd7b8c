"""`python -m harness.camp` is the supervisor of a camp; nobody but `harness.camp.start` has use for it."""

import sys

from harness.camp.supervisor import main

main(sys.argv[1:])
