"""The language in which an audit asks: the prompts' own, or another that the audit's knob names."""

from __future__ import annotations

from dataclasses import replace

from eval.context import AuditContext


def in_language(context: AuditContext, language: str | None) -> tuple[AuditContext, dict[str, int]]:
    """The context with the renderer and the survey's items in `language` (None: that of the prompts), and what was
    left out: items that have no wording in it, counted by reason.

    Raises ValueError where there is no frame for the language, and where no item has a wording in it.
    """
    renderer = context.renderer.in_language(language or context.renderer.asking.language)
    wanted = renderer.asking.language
    items = tuple(item.in_language(wanted) for item in context.survey.items if wanted in item.languages)
    if not items:
        there = sorted({found for item in context.survey.items for found in item.languages})
        raise ValueError(
            f"no item of the survey has a wording in {wanted!r}: set prompt.language or the audit's language to one "
            f"of {', '.join(there)}"
        )
    missing = len(context.survey.items) - len(items)
    if items != context.survey.items:
        people = {person.group.country for person in context.survey.respondents}
        part = context.survey.restrict([item.id for item in items], {*context.survey.countries, *people})
        context = replace(context, survey=replace(part, items=items))
    return replace(context, renderer=renderer), {f"items without a wording in {wanted!r}": missing} if missing else {}
