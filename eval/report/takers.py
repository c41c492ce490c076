"""The words for measures of simulated survey takers: diversity, wordings, ablations, and whose people they resemble."""

from __future__ import annotations

from collections.abc import Mapping

from eval.report.measures import NEITHER, ONE, ZERO, Measure

TAKERS: Mapping[str, Measure] = {
    "response_diversity": Measure(
        "Distinct answers",
        "How many different answers the participants give to an item; beside it as many people.",
        NEITHER,
        "variation",
    ),
    "response_diversity_ratio": Measure(
        "Distinct answers over people's",
        "Different answers among the participants, over what as many people of the country give on average. Under 1: "
        "fewer opinions than among people.",
        ONE,
        "variation",
        target=1.0,
    ),
    "wording_diversity": Measure(
        "Distinct explanations",
        "Share of the explanations that are different texts, letter case and punctuation aside.",
        NEITHER,
        "variation",
        share=True,
    ),
    "wording_distance": Measure(
        "Distance of wordings",
        "How few words two explanations of the same answer share: 0 the same words, 1 none in common.",
        NEITHER,
        "variation",
    ),
    "unparsed_rate": Measure(
        "Unreadable replies",
        "Share of written replies that name no option or several; they are in no distance.",
        "lower is better",
        "asking",
        share=True,
    ),
    "disclaimer_rate": Measure(
        "Machine speaks",
        "Share of written replies that say that a machine speaks.",
        "lower is better",
        "asking",
        share=True,
    ),
    "order_effect": Measure(
        "Place of the option",
        "Probability of the option shown first, less its fair share: 0 where its place does not matter.",
        ZERO,
        "asking",
        target=0.0,
    ),
    "effect_on_js_distance": Measure(
        "Effect on the JS distance",
        "JS distance to people with a diversity modification, less that without, of the same participants. Under 0: "
        "the modification brings them closer to people.",
        "below 0 is closer to people",
        "asking",
    ),
    "effect_on_response_diversity": Measure(
        "Effect on distinct answers",
        "Different answers among the participants with a diversity modification, less those without. Over 0: it makes "
        "them more diverse.",
        NEITHER,
        "asking",
    ),
    "preferred_share": Measure(
        "Preferred by the group",
        "Share of the group's own members who gave the answer that the participants prefer, less the share of all "
        "people of the country. Over 0: the participants speak for this group rather than for the others.",
        ZERO,
        "who",
        target=0.0,
    ),
    "def/profile_match_as_published": Measure(
        "Profile match (as published)",
        "Share of questions in which the group has the largest number of people with the answer that the participants "
        "prefer: heads, not rates, so that large groups win whatever the model answers.",
        NEITHER,
        "published",
        share=True,
    ),
}
