"""The end of `polyphony run --help`: the parts with their members and the knobs with what they do, read from conf."""

from __future__ import annotations

from importlib import resources

from launch.arms import CELL_KEYS
from launch.compose import Composer
from launch.plugins import VARIABLE, listed

ORDER = ("experiment", *(key for key in CELL_KEYS if key != "budget"))


def guide() -> str:
    """Text, ready to print."""
    with Composer() as composer:
        groups, beside, knobs = composer.groups(), list(listed(composer.places)), _knobs(composer)
    lines = ["", "Parts (PART=MEMBER):"]
    for part in [*ORDER, *(name for name in groups if name not in ORDER)]:
        if part in groups:
            lines.append(f"  {part:<12}{', '.join(sorted(groups[part]))}")
    lines += ["", "Your own parts come from:"]
    lines += [f"  {where}: {members}" for where, members in beside]
    lines += [] if beside else [f"  nowhere yet: --config-dir, {VARIABLE}, or an installed package; docs/own_recipe.md"]
    text = (resources.files("conf") / "config.yaml").read_text(encoding="utf-8")
    general = text.partition("- experiment: null\n")[2].strip("\n")
    lines += ["", "Knobs (KEY=VALUE), their values unless you say otherwise, and what they do:"]
    lines += [f"  {line}" for line in general.splitlines() if line.strip() not in ("audit: {}", "")]
    lines += ["", "Knobs of a part stand in its file, e.g. recipe.learning_rate=1e-5:", *knobs]
    return "\n".join([*lines, ""])


def _knobs(composer: Composer) -> list[str]:
    """A line for every member that has knobs."""
    lines, groups = [], composer.groups()
    for part in ("recipe", "adapter", "mixture", "inference", "audit"):
        for member in sorted(groups.get(part, [])):
            node = composer.member(part, member)
            node = node.get(member, node) if part == "audit" else node
            where = f"audit.{member}" if part == "audit" else part
            names = [f"{where}.{name}" for name in node if name != "_target_"]
            if names:
                lines.append(f"  {part}={member}: {', '.join(names)}")
    return lines
