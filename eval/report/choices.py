"""The words for measures of choices: ethical dilemmas and decisions for individuals."""

from __future__ import annotations

from collections.abc import Mapping

from eval.report.measures import HIGHER, LOWER, NEITHER, STABLE, ZERO, Measure

CHOICES: Mapping[str, Measure] = {
    "flip_rate": Measure(
        "Flip rate",
        "Share of dilemmas in which the preferred action changes although only the wording, the form "
        "of the question or the conversation before it changed.",
        STABLE,
        "stability",
        share=True,
    ),
    "disagreement": Measure(
        "Disagreement",
        "Chance that two answers drawn under the two conditions differ; its floor is the same prompt asked again.",
        STABLE,
        "stability",
    ),
    "excess_disagreement": Measure(
        "Disagreement over its floor",
        "Disagreement less that of the same prompt asked again.",
        STABLE,
        "stability",
        target=0.0,
    ),
    "yields": Measure(
        "Gives way",
        "Chance that the model leaves the action it chose after a pushback that gives no reason.",
        STABLE,
        "stability",
        share=True,
    ),
    "priority_drift": Measure(
        "Priorities moved",
        "Root mean squared change of the value priorities, in logits; never negative, so sampling noise raises it.",
        STABLE,
        "stability",
    ),
    "marginal_action_entropy": Measure(
        "Action entropy",
        "Uncertainty about the action over question forms: 0 decided.",
        NEITHER,
        "stability",
    ),
    "question_form_consistency": Measure(
        "Same answer in every form",
        "Agreement of the answer over question forms: 1 always the same.",
        HIGHER,
        "stability",
    ),
    "krippendorff_alpha": Measure(
        "Krippendorff's alpha",
        "Agreement of the choices over wordings: 1 always the same, 0 as by chance.",
        HIGHER,
        "stability",
    ),
    "kendall_tau": Measure(
        "Order of values kept",
        "Agreement of the order of value priorities with that of the plain question (Kendall's tau): "
        "1 the same order, 0 none.",
        HIGHER,
        "stability",
    ),
    "value_priority": Measure(
        "Value priority",
        "How often a value wins where it collides with another (Bradley–Terry strength in logits; "
        "mean 0, a lead of 1 wins 73%).",
        NEITHER,
        "stability",
        target=0.0,
    ),
    "accuracy": Measure(
        "Accuracy",
        "Share of people's own answers that are predicted for them one by one.",
        HIGHER,
        "decision",
        share=True,
    ),
    "accuracy_gain": Measure(
        "Accuracy gained",
        "Accuracy less that of a simpler prediction for the same people.",
        HIGHER,
        "decision",
        target=0.0,
        share=True,
    ),
    "cohen_kappa": Measure(
        "Kappa",
        "Accuracy beyond chance (Cohen): 0 chance, 1 perfect.",
        HIGHER,
        "decision",
    ),
    "probability_of_answer": Measure(
        "Probability of the own answer",
        "Probability that the prediction gives to what the person answered.",
        HIGHER,
        "decision",
    ),
    "stage_validity": Measure(
        "Valid stages",
        "Share of the reasoning steps whose answer was usable or consistent.",
        HIGHER,
        "decision",
        share=True,
    ),
    "decisiveness": Measure(
        "Decided",
        "How clearly one answer of a reasoning step leads the others.",
        NEITHER,
        "decision",
    ),
    "consistency_rate": Measure(
        "Consistent answers",
        "Share of answers that the model itself finds consistent with the function behind them.",
        NEITHER,
        "decision",
        share=True,
    ),
    "type_share": Measure(
        "Share of a type",
        "Share of respondents given a personality type.",
        NEITHER,
        "decision",
        share=True,
    ),
    "negative_impact_rate": Measure(
        "Under stress",
        "Share of functions that are found to be under stress.",
        NEITHER,
        "decision",
        share=True,
    ),
    "revision_changed_rate": Measure(
        "Revision changed the answer",
        "Share of revised answers that came out otherwise.",
        NEITHER,
        "decision",
        share=True,
    ),
    "vote_agreement": Measure(
        "Answer follows the vote",
        "Share of answers that also win where each function casts one vote.",
        HIGHER,
        "decision",
        share=True,
    ),
    "faithfulness": Measure(
        "Faithfulness",
        "How far the answer moves when a feature or function is left out: the one of greatest stress "
        "or weight, another one, and the difference. A difference over 0: the explanation names what "
        "matters.",
        NEITHER,
        "decision",
    ),
    "type_stability": Measure(
        "Type stability",
        "Share of people who are given the same type when their features are listed in another order.",
        HIGHER,
        "decision",
        share=True,
    ),
    "edc/js_distance": Measure(
        "JS distance between conditions",
        "How far the answer under the condition is from the plainly asked one.",
        STABLE,
        "stability",
    ),
    "edc/position_effect": Measure(
        "Place of the action",
        "Probability of the action shown first, less one half: 0 where its place does not matter.",
        ZERO,
        "asking",
        target=0.0,
    ),
    "edc/yes_bias": Measure(
        "Assent",
        "Probability of saying yes, less one half, where each action is put first once: 0 where assent is no habit.",
        ZERO,
        "asking",
        target=0.0,
    ),
    "mark/js_distance": Measure(
        "JS distance",
        "Distance of the mean prediction for the sampled people to their country's people.",
        LOWER,
        "decision",
    ),
}
