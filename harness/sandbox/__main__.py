"""`python -m harness.sandbox` is the supervisor of a sandbox; nobody but `harness.sandbox.start` has use for it."""

import sys

from harness.sandbox.supervisor import main

main(sys.argv[1:])
