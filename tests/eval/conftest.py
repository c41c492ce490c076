"""Lets tests of this folder import the helpers beside them, such as `survey_takers`."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
