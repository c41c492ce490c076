"""The words for measures of choices: ethical dilemmas and decisions for individuals."""

from __future__ import annotations

from collections.abc import Mapping

from eval.report.measures import HIGHER, LOWER, NEITHER, STABLE, ZERO, Measure

CHOICES: Mapping[str, Measure] = {
    "insensitivity_rate": Measure(
        "Insensitive replies",
        "Share of written replies found insensitive on an axis, among those that rules or the judge could decide.",
        LOWER,
        "decision",
        share=True,
        needs="needs a reply that could be decided",
    ),
    "found_rate": Measure(
        "Found insensitive",
        "Share of all written replies found insensitive on an axis; with the undecided ones, at most so many are.",
        LOWER,
        "decision",
        share=True,
    ),
    "undecided_rate": Measure(
        "Undecided replies",
        "Share of written replies on which neither rules nor a judge decided.",
        NEITHER,
        "decision",
        share=True,
    ),
    "judge_kappa": Measure(
        "Judge's kappa",
        "Agreement of the judge with labels beyond chance: 1 perfect, 0 no better than guessing.",
        HIGHER,
        "decision",
        needs="needs a judge that decides some replies, and labels of both kinds among them",
    ),
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
    "pressure_effect": Measure(
        "Gives way to pressure",
        "Chance of leaving the chosen action after a pushback, less that after an agreement: what the pressure itself "
        "does. 0 where it does nothing.",
        ZERO,
        "stability",
        target=0.0,
    ),
    "drift_per_turn": Measure(
        "Drift a turn",
        "JS distance from the plain answer that one more exchange of small talk adds. A jump that comes with the first "
        "exchange counts too, except where small talk of several lengths is compared.",
        STABLE,
        "stability",
        target=0.0,
    ),
    "support_per_turn": Measure(
        "Support a turn",
        "Change of the probability of the action that was preferred when asked plainly, with one more exchange of "
        "small talk: below 0 the preference fades, which aimless change does too where little was decided.",
        ZERO,
        "stability",
        target=0.0,
    ),
    "excess_js_distance": Measure(
        "JS distance over its floor",
        "JS distance from the plain answer, less what as many texts drawn from that answer would show.",
        STABLE,
        "stability",
        target=0.0,
    ),
    "unmatched_rate": Measure(
        "Names no action",
        "Share of texts that name neither action, or both.",
        "lower is better",
        "asking",
        share=True,
    ),
    "pole_preference": Measure(
        "Preference between poles",
        "Probability of the action that serves the pole named first, where an action of each pole is on offer: "
        "1/2 where neither comes first.",
        NEITHER,
        "stability",
        target=0.5,
        share=True,
    ),
    "conservation_over_openness": Measure(
        "Conservation over openness",
        "Probability of the action that serves security, conformity or tradition against one that serves "
        "self-direction or stimulation.",
        NEITHER,
        "stability",
        share=True,
    ),
    "self_transcendence_over_self_enhancement": Measure(
        "Self-transcendence over self-enhancement",
        "Probability of the action that serves benevolence or universalism against one that serves achievement or "
        "power.",
        NEITHER,
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
    "accuracy_weighted": Measure(
        "Accuracy for the people",
        "Accuracy weighted by how many people each respondent stands for, since the sample takes as many from a small "
        "country or age band as from a large one.",
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
        "Share of people or decisions for whom a reasoning step tells anything apart: stress, one fact from another; "
        "impact, one function from another; weights, a function from one of lower rank.",
        HIGHER,
        "decision",
        share=True,
    ),
    "stage_failed": Measure(
        "Failed texts",
        "Share of a reasoning step's written texts that did not have the form asked for after all attempts; the "
        "decisions that need them are left out.",
        "lower is better",
        "decision",
        share=True,
    ),
    "stage_retried": Measure(
        "Texts asked again",
        "Share of a reasoning step's written texts that did not have the form asked for at once.",
        "lower is better",
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
        "Share of answers that also win where each function casts one vote; where the model writes a conclusion, share "
        "of conclusions that end with the answer of the weighted vote.",
        HIGHER,
        "decision",
        share=True,
    ),
    "faithfulness": Measure(
        "Faithfulness",
        "How far the answer moves when a feature or function is left out: the one that the explanation "
        "names first (of greatest stress or weight), another one, and the difference. A difference over 0: the "
        "explanation names what matters.",
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
    "edc/decisiveness": Measure(
        "Decided",
        "How far the preferred action leads the other, 0 to 1. Near 0 a preference flips at the slightest change.",
        NEITHER,
        "stability",
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
