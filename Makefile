# make itself answers every failure with exit code 2. The scripts print the real one, and `sh scripts/demo.sh` and
# `sh scripts/check.sh` return it: 0 as expected, 1 an expectation failed, 2 usage or environment.

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help setup demo check lint types contracts docs unit plugin live testbed testbed-down live-physical live-qualify smoke
.PHONY: nightly soak selftest bench clean distclean

PYTEST := .venv/bin/python -m pytest

help: ## this list
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{ printf "%-18s %s\n", $$1, $$2 }'
	@echo
	@echo "PYTHON=python3.12 before or after make names the interpreter of the virtual environment."

setup: ## install what is missing: system packages, the virtual environment .venv
	@sh scripts/setup.sh

demo: ## set up, build the guests, run the three rows of swap over NBD
	@sh scripts/demo.sh

check: ## set up, then lint, types, import contracts, docs and tests, including the quick live ones
	@sh scripts/check.sh

lint: setup ## ruff: rules and format
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .

types: setup ## mypy
	@.venv/bin/mypy

contracts: setup ## import-linter: which part may import which
	@.venv/bin/lint-imports

docs: setup ## the documentation as a site: build/docs/index.html; a broken link is an error
	@sh scripts/docs.sh

unit: setup ## tests without guests: our own logic, and console logs of real kernels
	@$(PYTEST) tests/unit tests/corpus -m "not slow" </dev/null

plugin: setup ## tests of the pytest plugin
	@$(PYTEST) tests/plugin -m "not slow" </dev/null

live: setup ## all tests that boot guests, and all others marked slow
	@status=0; $(PYTEST) tests/unit tests/plugin -m slow </dev/null || status=1; \
		$(PYTEST) tests/live </dev/null || status=1; exit $$status

testbed: setup ## start machines that the harness did not make, with BMCs and consoles, as hosts that somebody owns
	@PYTHONPATH=. .venv/bin/python -m tests.testbed up </dev/null

testbed-down: setup ## end what `make testbed` started
	@PYTHONPATH=. .venv/bin/python -m tests.testbed down </dev/null

live-physical: setup ## the tests on owned hosts: the test bed's, or with HARNESS_PHYSICAL=rack.toml that inventory's
	@[ -n "$$HARNESS_PHYSICAL" ] || PYTHONPATH=. .venv/bin/python -m tests.testbed up </dev/null
	@PYTHONPATH=. $(PYTEST) tests/physical -m "physical and not qualify" </dev/null

live-qualify: setup ## `harness qualify` on racks of the test bed that are well, and that are not (an hour or two)
	@PYTHONPATH=. .venv/bin/python -m tests.testbed up m1 m2 m4 </dev/null
	@PYTHONPATH=. $(PYTEST) tests/physical -m qualify </dev/null

smoke: setup ## the quick cases of testcases/ (minutes)
	@.venv/bin/harness run testcases -n 2 --profile smoke </dev/null

nightly: setup ## all cases of testcases/ except the long ones (hours under emulation)
	@.venv/bin/harness run testcases -n 2 </dev/null

soak: setup ## all cases, including the long ones; BUDGET=4 makes those four times as long
	@.venv/bin/harness run testcases -n 2 --profile soak --budget $(or $(BUDGET),1) </dev/null

selftest: setup ## inject faults with a known right verdict into real guests, and score the verdicts (hours)
	@.venv/bin/harness selftest </dev/null

bench: setup ## all measurements in benchmarks/, one after the other
	@status=0; for script in benchmarks/*.py; do \
		echo "== $$script"; .venv/bin/python $$script </dev/null || status=1; done; exit $$status

clean: ## remove the remains of dead runs (guests, sockets), and caches of the tools
	@if [ -x .venv/bin/harness ]; then .venv/bin/harness clean; fi
	@rm -rf build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find . -path ./.venv -prune -o -name __pycache__ -type d -exec rm -rf {} +

distclean: clean ## clean, and remove the virtual environment; results, images and kernels stay
	@rm -rf .venv *.egg-info
