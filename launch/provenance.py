"""Which code and libraries made a result."""

from __future__ import annotations

import importlib.metadata
import platform
import subprocess
from pathlib import Path
from typing import Any

from launch.cells import library_versions


def provenance() -> dict[str, Any]:
    """Versions of Python, this project and its libraries, and the commit of the sources ("" outside a repository)."""
    try:
        own = importlib.metadata.version("polyphony")
    except importlib.metadata.PackageNotFoundError:
        own = "not installed"
    return {"versions": {"python": platform.python_version(), "polyphony": own, **library_versions()}, "git": _commit()}


def _commit() -> str:
    """The commit, with `+changes` where tracked files differ from it."""
    root = Path(__file__).resolve().parent.parent
    try:
        commit = _git(root, "rev-parse", "HEAD")
        return commit + ("+changes" if _git(root, "status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.SubprocessError):
        return ""


def _git(root: Path, *arguments: str) -> str:
    command = ["git", "-C", str(root), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
