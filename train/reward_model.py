"""Reward models: a language model with a linear head for one number, read at the token of an option's label.

The reward of an option is the head's output at the option's label token after the prompt, in the first of its token
forms. All options of all prompts of a batch are one prefix tree, so that a question's tokens are computed once for all
its options; models that do not fit are asked in a padded batch. The head is `score`, as transformers' sequence
classifiers have it, which TRL's RLOO and GRPO trainers take as they are.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch.nn.utils.rnn import pad_sequence
from transformers import AutoModelForSequenceClassification, PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import logging as transformers_logging

from data.files import read_json
from data.manifest import read_manifest
from data.models import load_tokenizer, weights_hash
from data.packed_attention import NAME, plan, switched_attention, why_not_packed
from data.packing import pack

HEAD = "score"
UNLIMITED = 2**62


def load_scorer(folder: Path, dtype: torch.dtype, trust_remote_code: bool = False) -> PreTrainedModel:
    """The model in `folder` with a head for one number, on the CPU, in evaluation mode.

    A language model's head is new and 0, so that every reward begins at 0 and no preference is there before training
    (our design: a random head, as Stiennon et al. 2020 have it, arXiv:2009.01325, begins with random preferences);
    that of a reward model is its own. Raises ValueError where the architecture has no such head.
    """
    verbosity = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity(logging.ERROR)  # a new head is reported as missing
    try:
        model, report = AutoModelForSequenceClassification.from_pretrained(
            folder,
            num_labels=1,
            dtype=dtype,
            use_safetensors=True,
            trust_remote_code=trust_remote_code,
            output_loading_info=True,
        )
    except ValueError as error:
        raise ValueError(f"{folder}: no reward model can be made of this architecture: {error}") from error
    finally:
        transformers_logging.set_verbosity(verbosity)
    text = model.config.get_text_config()
    if text.pad_token_id is None:  # classifiers of several rows insist on one; here no place depends on it
        text.pad_token_id = torch.as_tensor(text.eos_token_id or 0).flatten()[0].item()
    lacking = set(report["missing_keys"])
    if not isinstance(getattr(model, HEAD, None), torch.nn.Linear) or lacking - {f"{HEAD}.weight"}:
        raise ValueError(f"{folder}: {type(model).__name__} has no linear head named {HEAD!r}, or lacks other weights")
    if lacking:
        torch.nn.init.zeros_(model.score.weight)
    loaded: PreTrainedModel = model.eval()
    return loaded


def load_reward_model(
    cell: Path, dtype: torch.dtype = torch.float32, trust_remote_code: bool = False
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """The reward model that a cell trained, an adapter merged into its base, frozen, and its tokenizer.

    `merged/`, where it is (`data.merging`), is taken before the adapter beside the base that its config names.
    Raises FileNotFoundError where the cell holds none, and ValueError where its head is lost or its base has changed.
    """
    whole = next((part for name in ("model", "merged") if ((part := cell / name) / "config.json").is_file()), None)
    if whole is not None:
        base, model = whole, open_scorer(whole, None, dtype, trust_remote_code)
    elif (cell / "adapter" / "adapter_config.json").is_file():
        base = Path(read_json(cell / "adapter" / "adapter_config.json")["base_model_name_or_path"])
        if not base.is_dir():
            raise FileNotFoundError(f"{cell}: its adapter was trained on {base}, which is no folder any more")
        known = read_manifest(cell).get("hashes", {}).get("base")
        if known and known != weights_hash(base):
            raise ValueError(f"{cell}: its adapter was trained on other weights than {base} holds now")
        model = open_scorer(cell / "adapter", base, dtype, trust_remote_code).merge_and_unload(safe_merge=True)
    else:
        raise FileNotFoundError(
            f"recipe.reward_model {cell} holds no trained reward model: expected the folder of a cell trained "
            "with recipe=reward, with model/ or adapter/ in it"
        )
    return model.requires_grad_(False), load_tokenizer(base, trust_remote_code)


def open_scorer(folder: Path, base: Path | None, dtype: torch.dtype, trust_remote_code: bool = False) -> Any:
    """A saved reward model, as it was saved: whole, or with `base` an adapter on it.

    Raises ValueError where the head was not saved.
    """
    files = sorted(folder.glob("*.safetensors"))
    if not any(f"{HEAD}.weight" in key for path in files for key in _keys(path)):
        raise ValueError(f"{folder}: the head {HEAD!r} of the reward model was not saved; train it again")
    if base is None:
        return load_scorer(folder, dtype, trust_remote_code)
    from peft import PeftModel

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing", category=FutureWarning)
        return PeftModel.from_pretrained(load_scorer(base, dtype, trust_remote_code), folder).eval()


def _keys(path: Path) -> list[str]:
    with safe_open(path, framework="pt") as tensors:
        return list(tensors.keys())


def option_rewards(model: Any, sequences: Sequence[list[int]], label_ids: torch.Tensor) -> tuple[torch.Tensor, int]:
    """The reward of every option, (n, k) float32, 0 where a row has no such option; and the tokens computed.

    `sequences` are the n prompts' token ids and `label_ids` (n, k, forms) the labels' on the model's device, -1 for
    none; the first form counts. Differentiable. `model` is bare, wrapped by PEFT or by a distributed engine.
    """
    device, present = label_ids.device, label_ids[..., 0] >= 0
    rows, places = present.nonzero(as_tuple=True)
    first = label_ids[rows, places, 0].tolist()
    rewards, computed = reply_rewards(
        model, [[*sequences[row], token] for row, token in zip(rows.tolist(), first, strict=True)], device
    )
    return torch.zeros(present.shape, device=device).masked_scatter(present, rewards), computed


def reply_rewards(model: Any, replies: list[list[int]], device: torch.device) -> tuple[torch.Tensor, int]:
    """The reward at the last token of every sequence of `replies`, (n,) float32; and the tokens computed. What replies
    begin with in common is computed once. Differentiable; `model` as in `option_rewards`, on `device`.
    """
    inner = model
    while hasattr(inner, "module"):
        inner = inner.module
    if why_not_packed(inner, max(map(len, replies))):
        rewards, computed = _padded(model, inner, replies, device)
    else:
        rewards, computed = _packed(model, inner, replies, device)
    return rewards.float(), computed


def _packed(model: Any, inner: Any, replies: list[list[int]], device: torch.device) -> tuple[torch.Tensor, int]:
    (tree,) = pack(replies, UNLIMITED)
    back = torch.empty(len(replies), dtype=torch.long)
    back[torch.from_numpy(tree.members)] = torch.arange(len(replies))
    planned = plan(tree, device)
    with switched_attention(model, NAME), _every_score(inner) as scores:
        model(input_ids=planned.input_ids, position_ids=planned.position_ids, use_cache=False, packed_tree=planned)
    return scores[0][0, planned.leaves, 0].index_select(0, back.to(device)), len(tree.tokens)


def _padded(model: Any, inner: Any, replies: list[list[int]], device: torch.device) -> tuple[torch.Tensor, int]:
    """Padded on the left, so that the last place is every reply's last token, whatever the padding token is."""
    ids = pad_sequence([torch.tensor(one) for one in replies], batch_first=True, padding_side="left").to(device)
    lengths = torch.tensor([len(one) for one in replies], device=device)
    mask = (torch.arange(ids.shape[1], device=device) >= ids.shape[1] - lengths[:, None]).long()
    positions = (mask.cumsum(-1) - 1).clamp(min=0)
    with _every_score(inner) as scores:
        model(input_ids=ids, attention_mask=mask, position_ids=positions, use_cache=False)
    return scores[0][:, -1, 0], ids.numel()


@contextmanager
def _every_score(inner: Any) -> Iterator[list[torch.Tensor]]:
    """What the head says of every token: transformers' classifiers compute it and return that of the last alone. Taken
    inside the forward pass, so that distributed engines see the head used.
    """
    found: list[torch.Tensor] = []
    bare = inner.get_base_model() if hasattr(inner, "get_base_model") else inner
    handle = getattr(bare, HEAD).register_forward_hook(lambda module, given, scores: found.append(scores))
    try:
        yield found
    finally:
        handle.remove()
