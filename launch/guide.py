"""The end of `polyphony run --help`: the parts with their members and the knobs with what they do, read from conf."""

from __future__ import annotations

from importlib import resources

from launch.arms import CELL_KEYS
from launch.compose import SHIPPED, Composer
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
    general = text.partition("\n\n")[2].strip("\n")
    lines += ["", "Knobs (KEY=VALUE), their values unless you say otherwise, and what they do:"]
    lines += [f"  {line}" for line in general.splitlines() if line.strip() not in ("audit: {}", "")]
    lines += ["", f"Knobs of a part, e.g. recipe.learning_rate=1e-5; {SHIPPED}/PART/MEMBER.yaml says what each does:"]
    lines += knobs
    return "\n".join([*lines, ""])


def _knobs(composer: Composer) -> list[str]:
    """A line for every member that has knobs, and one for members of a part that have the same."""
    found: dict[tuple[str, ...], list[str]] = {}
    groups = composer.groups()
    for part in ("recipe", "adapter", "mixture", "inference", "audit"):
        for member in sorted(groups.get(part, [])):
            node = composer.member(part, member)
            node = node.get(member, node) if part == "audit" else node
            where = f"audit.{member}" if part == "audit" else part
            names = tuple(f"{where}.{name}" for name in node if name != "_target_")
            if names:
                found.setdefault(names, []).append(member)
    return [
        f"  {names[0].partition('.')[0]}={','.join(members)}: {', '.join(names)}" for names, members in found.items()
    ]
