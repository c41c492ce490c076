"""The wheel holds all that is needed: packages, configuration, corpus, report templates; and its command starts."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.wheel


def run(*command: str | Path, cwd: Path) -> str:
    done = subprocess.run([str(part) for part in command], cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    run("git", "clone", "-q", ROOT, source, cwd=folder)
    run(sys.executable, "-m", "build", "--wheel", "--outdir", folder, source, cwd=folder)
    (found,) = folder.glob("polyphony-*.whl")
    return found


def test_it_holds_code_configuration_and_data_but_no_tests(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {"conf/config.yaml", "conf/experiment/quickstart.yaml", "data/dilemmas/corpus.jsonl"} <= set(names)
    assert any(name.startswith("eval/report/") and name.endswith(".j2") for name in names)
    tops = {name.split("/")[0] for name in names if ".dist-info" not in name}
    assert tops == {"conf", "data", "eval", "launch", "train"}


def test_it_runs_in_a_clean_environment(wheel: Path, tmp_path: Path) -> None:
    """A fresh environment holds the wheel alone; its dependencies are lent by path, which brings no editable
    install."""
    home = tmp_path / "env"
    venv.create(home, with_pip=True)
    python = home / "bin" / "python"
    run(python, "-m", "pip", "install", "-q", "--no-deps", wheel, cwd=tmp_path)
    site = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=tmp_path).strip())
    (site / "lent.pth").write_text(sysconfig.get_path("purelib") + "\n")
    where = run(python, "-c", "import data, eval, train, launch, conf; print(eval.__file__)", cwd=tmp_path)
    assert str(site) in where
    plan = run(home / "bin" / "polyphony", "run", "experiment=quickstart", "--dry-run", cwd=tmp_path)
    assert all(arm in plan for arm in ("base", "match-full", "match-lora", "dpo-full"))
