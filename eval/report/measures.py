"""The words for measures of survey answers: title, one-line meaning, direction, and the table each stands in.

Those of dilemmas and of decisions for individuals are in `eval.report.choices`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

LOWER, HIGHER, ONE, ZERO, NEITHER, STABLE = (
    "lower is closer to people",
    "higher is better",
    "1 is as people",
    "0 is even",
    "neither end is better",
    "lower is more stable",
)


@dataclass(frozen=True, slots=True)
class Measure:
    """`title` heads columns, `plain` is one line for a reader who knows no jargon, `target` is the value of a perfect
    model where it is known beforehand, `share` prints the value in per cent, `family` names the table it stands in,
    `needs` says what must be there for it to be defined, `caution` what a reader must know wherever it is shown.
    """

    title: str
    plain: str
    direction: str
    family: str
    target: float | None = None
    share: bool = False
    needs: str = ""
    caution: str = ""


FAMILIES: Mapping[str, str] = {
    "fit": "Fit to people",
    "variation": "Variation between and within countries",
    "who": "Who is represented",
    "decision": "Decisions for individuals",
    "stability": "Stability of preferences",
    "home": "Whose answers the model gives by itself",
    "asking": "How the answer depends on asking",
    "published": "As published elsewhere (for comparison with those tables only; no verdict rests on these)",
    "other": "Other measures",
}

SURVEY: Mapping[str, Measure] = {
    "js_distance": Measure(
        "JS distance",
        "How far the model's answer shares are from people's: square root of the Jensen–Shannon "
        "divergence, 0 identical to 1 without overlap.",
        LOWER,
        "fit",
    ),
    "emd": Measure(
        "Scale distance (EMD)",
        "Share of the answer scale by which answers must be moved to match people's; ordered items only.",
        LOWER,
        "fit",
        needs="needs an item with ordered answers",
    ),
    "total_variation": Measure(
        "Total variation",
        "Share of answers that would have to change to match people's.",
        LOWER,
        "fit",
    ),
    "kl_people_model": Measure(
        "KL (people ‖ model)",
        "Surprise of people's answers to the model, in nats; the training objective.",
        LOWER,
        "fit",
    ),
    "top1_agreement": Measure(
        "Top answer agrees",
        "Share of item × group in which the model's most likely answer is people's most common one.",
        HIGHER,
        "fit",
        share=True,
    ),
    "skill": Measure(
        "Skill",
        "1 − distance over the distance of the other countries' mean: 1 perfect, 0 no better than "
        "knowing the item alone.",
        HIGHER,
        "fit",
    ),
    "attained": Measure(
        "Attained",
        "Share of the way from a uniform guess (0) to people asked again (1); above 1 nearer than another sample of "
        "the same people.",
        HIGHER,
        "fit",
    ),
    "fidelity": Measure(
        "Excess distance",
        "Distance to a group's people with the noise of their finite number taken out, so that a "
        "small group is not called worse for being small. 0 is as near as can be told.",
        LOWER,
        "who",
        target=0.0,
    ),
    "between_ratio": Measure(
        "Between countries",
        "How much the model's answers differ between countries, over how much people's do (sampling "
        "noise removed). Under 1: countries look alike.",
        ONE,
        "variation",
        target=1.0,
        needs="needs people who differ between countries by more than their sampling noise",
    ),
    "between_structure": Measure(
        "Same neighbours",
        "Whether countries that are near each other among people are near each other in the model: "
        "Spearman correlation of the two distance matrices.",
        HIGHER,
        "variation",
        needs="needs four countries or more, and answers that vary between them",
        caution="biased towards 0 by noise: few questions or people make it too low, also for a model that answers as "
        "people do; compare arms with it, on the same questions",
    ),
    "within_ratio": Measure(
        "Within countries",
        "How spread out the model's answers are inside a country (entropy, within one order of the "
        "options), over how spread out people's are. Under 1: one voice for many.",
        ONE,
        "variation",
        target=1.0,
    ),
    "between_structure_p": Measure(
        "p of the same neighbours",
        "How often shuffled countries would agree as well (Mantel's permutation test, one-sided).",
        NEITHER,
        "variation",
        needs="needs four countries or more, and answers that vary between them",
    ),
    "mode_share": Measure(
        "One answer over 90%",
        "Share of item × group in which one option takes over nine tenths of the answers.",
        NEITHER,
        "variation",
        share=True,
    ),
    "mode_share_of_people": Measure(
        "… of people",
        "The same share among people.",
        "",
        "variation",
        share=True,
    ),
    "perplexity": Measure(
        "Perplexity",
        "How surprised the model is by plain text: high means that its language was damaged.",
        "lower is better",
        "asking",
    ),
    "perplexity_ratio": Measure(
        "Perplexity over base's",
        "Perplexity on plain text over that of the base; over 3 warns, over 10 is a collapse.",
        "1 is as the base",
        "asking",
    ),
    "entropy": Measure(
        "Entropy",
        "Spread of the answers over the options, in nats.",
        NEITHER,
        "variation",
    ),
    "age_gap": Measure(
        "Age gap",
        "Excess distance of the youngest band less that of the oldest, paired by item and country. "
        "Over 0: the young are represented worse.",
        ZERO,
        "who",
        target=0.0,
    ),
    "sex_gap": Measure(
        "Sex gap",
        "Excess distance of one sex less that of the other, paired by item and country.",
        ZERO,
        "who",
        target=0.0,
    ),
    "education_gap": Measure(
        "Education gap",
        "Excess distance of the least educated less that of the most, paired.",
        ZERO,
        "who",
        target=0.0,
    ),
    "us_centrism": Measure(
        "US-centrism",
        "How much nearer the answer given for a country is to people in the United States than to that country's own. "
        "Over 0: nearer to the US; the reference rows say what an even answer and the people themselves score.",
        ZERO,
        "home",
        target=0.0,
        needs="needs people of the United States",
    ),
    "similarity": Measure(
        "Similarity",
        "1 − JS distance to a country's people.",
        NEITHER,
        "home",
    ),
    "similarity_to_home": Measure(
        "Similarity to the US",
        "1 − JS distance of the answers for other countries to people in the United States (or another home country).",
        NEITHER,
        "home",
        needs="needs people of the home country",
    ),
    "country_knowledge": Measure(
        "Country knowledge",
        "How much farther a country's people are from the answers given for other countries than from those given for "
        "it (JS distance). 0: naming the country brings nothing; people themselves score the mean distance between "
        "countries.",
        HIGHER,
        "variation",
        needs="needs an item that two countries were asked",
    ),
    "persona_distance": Measure(
        "Moved by the persona's style",
        "JS distance between the answers to one question for one group, the persona put in different words: 0 the "
        "style does not matter.",
        STABLE,
        "asking",
        target=0.0,
    ),
    "language_distance": Measure(
        "Moved by the language",
        "JS distance between the answers to one question for one group in different languages: 0 the language does "
        "not matter.",
        STABLE,
        "asking",
        target=0.0,
    ),
    "people": Measure(
        "People",
        "How many people stand behind a question (effective number, mean over questions).",
        NEITHER,
        "who",
    ),
    "option_mass": Measure(
        "Option mass",
        "Probability that the model puts on any of the option labels before it is normalised. Low: it"
        " does not answer the question as asked.",
        HIGHER,
        "asking",
    ),
    "position_effect": Measure(
        "Position effect",
        "How far the answer moves when only the order of the options changes. The distances are "
        "those of the answer averaged over the orders.",
        "lower is better",
        "asking",
        target=0.0,
    ),
    "one_minus_js_as_published": Measure(
        "1 − JS (as published)",
        "1 − JS distance in nats, range 0.167 to 1.",
        HIGHER,
        "published",
    ),
    "accuracy_as_published": Measure(
        "Accuracy (top answer)",
        "Share of item × group whose most probable option is people's; ties go to the first option.",
        HIGHER,
        "published",
        share=True,
    ),
    "emd_as_published": Measure(
        "EMD (as published)",
        "Passes probabilities as sample values, so it cannot see where the answers are.",
        LOWER,
        "published",
    ),
    "kl_model_people_as_published": Measure(
        "KL (model ‖ people, as published)",
        "Infinite values replaced; rewards a model that always gives the top answer.",
        LOWER,
        "published",
    ),
    "profile_match_as_published": Measure(
        "Profile match (as published)",
        "Raw counts per option; small groups almost never win.",
        HIGHER,
        "published",
    ),
}
