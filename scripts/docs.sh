#!/bin/sh
# Builds the documentation into build/docs/index.html. Needs no network; a broken link or any other warning is an error.
unset CDPATH
cd -P "$(dirname "$0")/.." || exit 2
"${PYTHON:-.venv/bin/python}" -m sphinx --quiet --fail-on-warning --nitpicky --fresh-env --doctree-dir build/doctrees \
	--conf-dir docs/site . build/docs
