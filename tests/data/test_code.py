"""The hash of a stage's code: what it depends on, and what it does not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from data.code import _home, _read, digest_code


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "recipe.py").write_text(
        '"""Mine."""\nfrom mine.helper import double\n\ndef f(x):\n    return double(x)\n'
    )
    (folder / "helper.py").write_text("def double(x):\n    return 2 * x\n")
    (folder / "other.py").write_text("x = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield folder
    _read.cache_clear()
    _home.cache_clear()


def change(path: Path, text: str) -> str:
    path.write_text(text)
    _read.cache_clear()
    return digest_code("mine.recipe")


def test_it_follows_imports_and_ignores_comments_docstrings_and_strangers(package: Path) -> None:
    before = digest_code("mine.recipe")
    assert change(package / "other.py", "x = 2\n") == before
    assert (
        change(package / "recipe.py", "from mine.helper import double  # why\n\ndef f(x):\n    return double(x)\n")
        == before
    )
    assert change(package / "helper.py", "def double(x):\n    return 3 * x\n") != before


def test_it_follows_relative_imports(package: Path) -> None:
    inner = package / "inner"
    inner.mkdir()
    (inner / "__init__.py").write_text("from .deep import x\n")
    (inner / "deep.py").write_text("from ..other import x\nfrom .. import helper\n")
    before = change(package / "recipe.py", "from . import inner\n")
    helped = change(package / "helper.py", "def double(x):\n    return 3 * x\n")
    assert helped != before
    assert change(package / "other.py", "x = 2\n") != helped


def test_a_package_without_an_init_is_followed_and_broken_python_is_named(package: Path) -> None:
    (package / "__init__.py").unlink()
    before = digest_code("mine.recipe")
    assert change(package / "helper.py", "def double(x):\n    return 3 * x\n") != before
    with pytest.raises(ValueError, match=r"helper\.py, line 2"):
        change(package / "helper.py", "x = 1\ndef\n")


def test_yaml_beside_an_imported_package_counts_by_what_it_says(package: Path) -> None:
    before = digest_code("mine.recipe")
    worded = change(package / "words.yaml", "a: 1\n")
    assert worded != before
    assert change(package / "words.yaml", "a: 1  # why\n") == worded
    assert change(package / "words.yaml", "a: 2\n") != worded


def test_nothing_is_imported_to_hash_it() -> None:
    code = "import sys; from data.code import digest_code; digest_code('eval.compare'); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"  # found without importing anything


def test_an_unknown_module_is_refused() -> None:
    with pytest.raises(ModuleNotFoundError, match=r"data\.nothing_there"):
        digest_code("data.nothing_there")
