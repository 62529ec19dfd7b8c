#!/bin/sh
# The demonstration, from a bare machine to the table of verdicts: set-up, guest image and kernels, and the three rows
# of swap over NBD. Arguments go to `harness run`.
#
#     sh scripts/demo.sh [--budget 0.5 …]
#
# Exit codes, which `make demo` cannot pass on: 0 every row as expected, 1 an expectation failed, 2 usage or environment
# or a trial without a verdict, 130 interrupted.
unset CDPATH
cd -P "$(dirname "$0")/.." || exit 2
exec </dev/null
trap : INT # the harness ends its guests; then this script prints the result

say() {
	printf 'demo: %s\n' "$*"
}

finish() {
	took=$(($(date +%s) - started))
	say "took $((took / 60)) min $((took % 60)) s; exit code $1: $2"
	exit "$1"
}

conclude() {
	case $1 in
	0) finish 0 "every row ended as expected" ;;
	1) finish 1 "a row did not end as expected, see the table" ;;
	130) finish 130 "interrupted" ;;
	*) finish 2 "no answer about a kernel, see above; .venv/bin/harness doctor says what this machine lacks" ;;
	esac
}

started=$(date +%s)
sh scripts/setup.sh || case $? in
130) conclude 130 ;;
*) finish 2 "the set-up failed, see above" ;;
esac
say "guest image, kernel and module variant (what is built already is kept)"
.venv/bin/harness prepare || conclude $?
say "three trials, two at a time; about two minutes each under software emulation"
.venv/bin/harness run testcases/test_nbd_swap.py --inventory inventories/local.toml -n 2 "$@"
conclude $?
