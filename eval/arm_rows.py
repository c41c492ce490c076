"""What summary.json says of an arm: its cells, its validity, and what its audits left out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from eval.cells import Arm
from eval.validity import Validity


def arm_row(arm: Arm, validity: Validity) -> dict[str, Any]:
    """The arm by its parts, with every cell and what its manifest tells."""
    first = arm.first
    model = first.config.get("model") or {}
    kept = ("state", "collapsed", "parent", "hashes", "versions", "budget", "training", "mixture", "seconds")
    return {
        "name": arm.name,
        "recipe": first.recipe,
        "adapter": first.adapter,
        "mixture": first.mixture,
        "inference": first.inference,
        "tags": {tag: value for tag, value in (model.get("tags") or {}).items() if value is not None},
        "seeds": arm.seeds,
        "draws": arm.draws,
        "cells": [
            {
                "folder": cell.folder.name,
                "state": cell.manifest.get("state"),
                "seed": cell.seed,
                "draw": cell.draw,
                "missing": list(cell.missing),
                "manifest": {key: cell.manifest[key] for key in kept if key in cell.manifest},
            }
            for cell in (*arm.cells, *arm.incomplete)
        ],
        "validity": {"status": validity.status, "reasons": list(validity.reasons), "figures": dict(validity.figures)},
    }


def exclusions(arms: Mapping[str, Arm]) -> list[dict[str, Any]]:
    """What audits left out, by arm, audit and reason: the count of one cell, or the mean over cells that differ; and
    the cells that are not finished (audit "all"), which take no part in anything.
    """
    rows: list[dict[str, Any]] = []
    for name, arm in arms.items():
        for cell in arm.incomplete:
            told = f"{cell.label}: " if cell.trained else ""
            rows.append({"arm": name, "audit": "all", "reason": told + "; ".join(cell.missing), "count": 1})
        for audit in arm.audits:
            counts = [cell.excluded(audit) for cell in arm.cells]
            for reason in dict.fromkeys(reason for one in counts for reason in one):
                count = float(np.mean([one.get(reason, 0) for one in counts]))
                rows.append(
                    {
                        "arm": name,
                        "audit": audit,
                        "reason": reason,
                        "count": int(count) if count.is_integer() else count,
                    }
                )
    return rows
