#!/bin/sh
# Everything that has to hold before a change goes in: lint, types, import contracts, the documentation's links, all
# tests but the slow ones among those that boot guests (make live). Arguments go to pytest.
#
# Goes on after a failure, so that one run tells all. Exit codes, which `make check` cannot pass on: 0 all passed, 1 a
# check failed, 2 the set-up failed.
unset CDPATH
cd -P "$(dirname "$0")/.." || exit 2
exec </dev/null

sh scripts/setup.sh || exit 2
failed=""

check() {
	name=$1
	shift
	printf 'check: %s\n' "$name"
	"$@" || failed="$failed, $name"
}

check lint .venv/bin/ruff check .
check format .venv/bin/ruff format --check .
check types .venv/bin/mypy
check "import contracts" .venv/bin/lint-imports
check docs sh scripts/docs.sh
# What the live tests boot: built here, where its progress shows.
check prepare .venv/bin/harness prepare
# Last, so that what takes longest hides nothing.
check tests .venv/bin/python -m pytest tests/unit tests/corpus tests/plugin tests/live -m "not slow" "$@"
if [ -n "$failed" ]; then
	printf 'check: failed: %s\n' "${failed#, }" >&2
	exit 1
fi
printf 'check: all passed\n'
