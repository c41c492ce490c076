"""Interventions at inference time: nothing is trained, a variant is asked in another way, the same in every audit.

An intervention is a frozen dataclass of the config group `inference`. It may put another renderer before the audits
(who answers is said in other words) and another answerer (each question asked several times, say); a subclass of
`Unchanged` overrides what it changes. Training prompts and the judge of written replies are never touched.
"""

from __future__ import annotations

from dataclasses import dataclass

from data.prompts import Renderer
from eval.answers import Answerer


@dataclass(frozen=True)
class Unchanged:
    """Asked as the audits ask."""

    def renderer(self, renderer: Renderer) -> Renderer:
        """What makes the audits' prompts."""
        return renderer

    def answerer(self, answerer: Answerer) -> Answerer:
        """What answers them. One that asks `answerer` in its own way is an `eval.answers.Asks`."""
        return answerer
