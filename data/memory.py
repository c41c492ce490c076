"""How much memory a process has held at most, how much there is, and whether an error says that it was too little."""

from __future__ import annotations

import os
import resource
import sys
from contextlib import suppress
from pathlib import Path

import torch

_SAYINGS = ("out of memory", "can't allocate memory", "not enough memory", "defaultcpuallocator")


def peak_gib(device: torch.device) -> float:
    """The most that this process has held so far, in GiB: on its GPU where it uses one, else resident."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**30
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a device or the CPU allocator ran out of memory; PyTorch raises a plain RuntimeError for some."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error).lower() for words in _SAYINGS)


def room_bytes(device: torch.device) -> int:
    """The memory of the GPU, or of this machine as far as its container may use it."""
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    room = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    with suppress(OSError, ValueError):
        room = min(room, int(Path("/sys/fs/cgroup/memory.max").read_text()))
    return room
