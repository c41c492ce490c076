"""Variants on the Hugging Face Hub, when a user asks: weights, tokenizer and model card, one repository a cell.

Safetensors only; private unless said otherwise. The login is the user's own (`hf auth login`, HF_TOKEN), which
`huggingface_hub` finds; it is never read here.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data.files import read_json
from data.snapshots import weights_of
from launch.build import nearest
from launch.card import CARD, base_on_the_hub, card, has_card
from launch.card_words import Told
from launch.cells import Cell

SENT = ("*.safetensors", "*.safetensors.index.json", "*.json", "*.jinja", "*.model", "*.txt")
ADAPTER_CONFIG = "adapter_config.json"
LONGEST = 96
"""Characters that the Hub allows in a repository's name."""


@dataclass(frozen=True)
class Parcel:
    """What goes to one repository: content by path in it, a file's path or text made here."""

    cell: Cell
    repo: str
    files: dict[str, Path | bytes]

    @property
    def sizes(self) -> dict[str, int]:
        """Bytes by path."""
        return {n: len(one) if isinstance(one, bytes) else one.stat().st_size for n, one in self.files.items()}


def send_variants(run: Path, prefix: str, names: Sequence[str] = (), *, private: bool, dry_run: bool = False) -> None:
    """Send variants of the run and print a line for each; with `dry_run` print what would be sent, file by file.

    Raises as `parcels` and `push` do; everything is checked before the first is sent.
    """
    for parcel in parcels(run, prefix, names):
        sizes = parcel.sizes
        what = f"{parcel.repo} ({'private' if private else 'public'}), {sum(sizes.values()) / 1e6:,.1f} MB"
        if not dry_run:
            print(f"{push(parcel, private)}: {what}", flush=True)
            continue
        print(f"would send {what}")
        for name, size in sizes.items():
            print(f"  {size:>14,}  {name}")


def parcels(run: Path, prefix: str, names: Sequence[str] = ()) -> list[Parcel]:
    """What `push` would send of the run: of the cells called `names`, or of every trained variant that is there.

    `prefix` is ORG/PREFIX; a cell goes to ORG/PREFIX-CELL. A collapsed variant that is not named is left out, with a
    line that says so. Raises ValueError for a prefix or name that there is not, a named cell without weights, and
    where nothing is left.
    """
    if prefix.count("/") != 1 or not all(prefix.split("/")):
        raise ValueError(f"--hub must be ORG/PREFIX, got {prefix!r}")
    told = Told.of(run)
    by_name = {cell.name: cell for cell in told.cells}
    for name in names:
        if name not in by_name:
            raise ValueError(f"--cell {name!r} is no cell of {run}{nearest(name, by_name)}")
        if weights_of(by_name[name].folder) is None or not has_card(by_name[name]):
            raise ValueError(f"--cell {name} holds no trained weights: nothing was trained, or they were removed")
    there = [cell for cell in told.cells if has_card(cell) and weights_of(cell.folder)]
    if not there:
        raise ValueError(f"{run} holds no trained weights: nothing was trained, or they were removed")
    broken = [cell.name for cell in there if told.collapse(cell) and cell.name not in names]
    chosen = [by_name[name] for name in dict.fromkeys(names)] or [cell for cell in there if cell.name not in broken]
    if broken and not names:
        print(f"COLLAPSED, sent only if --cell names them: {', '.join(broken)}", file=sys.stderr)
    if not chosen:
        raise ValueError(f"{run}: every variant has collapsed, and --cell names none")
    return [_parcel(cell, told, f"{prefix}-{cell.name}".replace("--", "-")) for cell in chosen]


def push(parcel: Parcel, private: bool) -> str:
    """Create the repository if need be and commit everything at once; returns its address.

    Raises PermissionError without a login or rights, ValueError where the repository is there with the other
    visibility, OSError for what else goes wrong; each says it in one line.
    """
    from huggingface_hub import CommitOperationAdd, HfApi, get_token
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError
    from huggingface_hub.errors import HTTPError as NoAnswer  # type: ignore[attr-defined]  # of the library beneath it

    if get_token() is None:
        raise PermissionError("not logged in to the Hugging Face Hub: `hf auth login`, or set HF_TOKEN")
    api = HfApi()
    try:
        address = api.create_repo(parcel.repo, private=private, exist_ok=True)
        if bool(api.repo_info(parcel.repo).private) != private:
            there, asked = ("public", "private") if private else ("private", "public")
            raise ValueError(f"{parcel.repo} is there and {there}, {asked} was asked: change it on the Hub, or ask so")
        files = [CommitOperationAdd(path_in_repo=name, path_or_fileobj=one) for name, one in parcel.files.items()]
        api.create_commit(parcel.repo, files, commit_message=f"{parcel.cell.name} by Polyphony")
    except HFValidationError as error:
        raise ValueError(f"--hub: {_first_line(error)}") from error
    except HfHubHTTPError as error:
        status = error.response.status_code if error.response is not None else 0
        if status in (401, 403):
            raise PermissionError(
                f"{parcel.repo}: the Hub refuses this login ({status}): {_first_line(error)}"
            ) from error
        raise OSError(f"{parcel.repo}: {_first_line(error)}") from error
    except RuntimeError as error:  # of an upload of weights; its cause says why
        raise OSError(f"{parcel.repo}: {_first_line(error)} {_first_line(error.__cause__ or error)}") from error
    except NoAnswer as error:
        raise ConnectionError(f"{parcel.repo}: the Hub cannot be reached: {_first_line(error)}") from error
    return str(address)


def _parcel(cell: Cell, told: Told, repo: str) -> Parcel:
    if len(repo.partition("/")[2]) > LONGEST:
        raise ValueError(f"{repo}: the Hub takes names of {LONGEST} characters at most; choose a shorter PREFIX")
    folder: Any = weights_of(cell.folder)
    found = sorted({path for pattern in SENT for path in folder.glob(pattern)})
    files: dict[str, Path | bytes] = {path.name: path for path in found}
    if ADAPTER_CONFIG in files:
        files[ADAPTER_CONFIG] = _portable(cell, folder / ADAPTER_CONFIG)
    return Parcel(cell, repo, {CARD: card(cell, told, repo).encode(), **files})


def _portable(cell: Cell, path: Path) -> bytes:
    """The adapter's configuration with its base by Hub id, null where it has none, not by a path on this machine."""
    return json.dumps({**read_json(path), "base_model_name_or_path": base_on_the_hub(cell) or None}, indent=2).encode()


def _first_line(error: BaseException) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
