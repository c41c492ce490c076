#!/usr/bin/env bash
# Sets up once with the development tools, then runs the tests. Further arguments go to pytest, e.g. -k survey.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"
setup "[dev]"
cd "$ROOT"
exec python -m pytest -q -n auto "$@"
