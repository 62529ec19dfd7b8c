#!/bin/sh
# All checks before a change goes in: lint, types, import contracts, the documentation's links, and all tests except the
# slow ones (make live). Arguments go to pytest.
#
# Continues after a failure, so that one run shows all failures. Exit codes, which `make check` cannot pass on: 0 all
# passed, 1 a check failed, 2 the set-up failed.
unset CDPATH
cd -P "$(dirname "$0")/.." || exit 2
exec </dev/null
# The tests start hundreds of short processes, which mostly import. Without .pyc files each would compile all modules.
unset PYTHONDONTWRITEBYTECODE

sh scripts/setup.sh || exit 2
mkdir -p build || exit 2
failed=""
types="" prepare="" testbed=""
trap 'kill $types $prepare $testbed 2>/dev/null' EXIT
trap 'exit 130' INT TERM

check() {
	name=$1
	shift
	printf 'check: %s\n' "$name"
	"$@" || failed="$failed, $name"
}

# Waits for process $2, whose output is in build/check-$1.log.
finish() {
	wait "$2"
	status=$?
	printf 'check: %s\n' "$1"
	cat "build/check-$1.log"
	[ "$status" -eq 0 ] || failed="$failed, $1"
}

# Runs tests under a name; their last line is printed again at the end. A file passes the exit code out of the pipe.
tests() {
	name=$1
	shift
	printf 'check: %s\n' "$name"
	{
		PYTHONUNBUFFERED=1 .venv/bin/python -m pytest -m "not slow" $color "$@"
		echo $? >"build/check-$name.status"
	} 2>&1 | tee "build/check-$name.log"
	status=$(cat "build/check-$name.status")
	# 5: no test selected, as arguments such as -k may leave none in one part
	[ "$status" -eq 0 ] || { [ "$status" -eq 5 ] && [ "$selected" = yes ]; } || failed="$failed, $name"
}

[ -t 1 ] && color=--color=yes || color=""
[ $# -eq 0 ] && selected=no || selected=yes

# In the background: build the images and kernels of the live tests, and check types.
.venv/bin/harness prepare >build/check-prepare.log 2>&1 &
prepare=$!
.venv/bin/mypy >build/check-types.log 2>&1 &
types=$!
# One owned host for the smoke. What it is made of is in the cache after the first time.
.venv/bin/python -m tests.testbed status m3 | grep -q "power on" && keep=yes || keep=no
.venv/bin/python -m tests.testbed up m3 >build/check-testbed.log 2>&1 &
testbed=$!
check lint .venv/bin/ruff check .
check format .venv/bin/ruff format --check .
check "import contracts" .venv/bin/lint-imports
check docs sh scripts/docs.sh
# The slowest tests go first, so that no worker is left alone with them.
tests tests-without-guests tests/plugin tests/unit tests/corpus -n "$(nproc)" --dist worksteal "$@"
finish types "$types"
types=""
finish prepare "$prepare"
prepare=""
finish testbed "$testbed"
testbed=""
tests owned-host tests/physical -m smoke "$@"
[ "$keep" = yes ] || .venv/bin/python -m tests.testbed down m3
# Last, so that nothing else takes the guests' time. Tests of one file share guests, and stay together.
tests live-tests tests/live -n "$(nproc)" --dist loadfile "$@"

printf 'check: all tests\n'
for name in tests-without-guests owned-host live-tests; do
	tail -n 1 "build/check-$name.log"
done
if [ -n "$failed" ]; then
	printf 'check: failed: %s\n' "${failed#, }" >&2
	exit 1
fi
printf 'check: all passed\n'
