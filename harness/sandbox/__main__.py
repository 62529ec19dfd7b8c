"""`python -m harness.sandbox` is the supervisor of a sandbox; only `harness.sandbox.start` runs it."""

import sys

from harness.sandbox.supervisor import main

main(sys.argv[1:])
