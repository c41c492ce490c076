"""Lets tests of this folder import the helpers beside them, such as `survey_takers`; the survey of MARK's tests."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from data.records import Survey

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture
def sexes() -> Survey:
    from mark_scripted import sexes_survey

    return sexes_survey()
