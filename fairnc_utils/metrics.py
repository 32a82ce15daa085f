"""What every metric is called, at which value it is ideal, and which change is for the better."""

from dataclasses import dataclass
from typing import Any

import numpy as np

UP, DOWN = 1, -1


@dataclass(frozen=True)
class Metric:
    """What a metric is called, at which value it is ``ideal``, and which change is ``better``:
    ``UP``, ``DOWN`` or, if it can be missed on both sides, 0.

    ``instead``: what readers are told of a metric whose ideal is no fixed number; ``unit``: of a value,
    where the label does not say it.
    """

    label: str
    ideal: float | None = None
    better: int = 0
    instead: str = "–"
    unit: str = ""

    @property
    def two_sided(self) -> bool:
        """Whether a value may lie above its ideal as well as below it."""
        return self.ideal is not None and not self.better

    @property
    def target(self) -> str:
        """The ideal and the side from which it is reached, as tables show them: ``50``, ``0 ↓``,
        ``ceiling ↑``.
        """
        ideal = self.instead if self.ideal is None else f"{self.ideal:g}"
        return ideal + {UP: " ↑", DOWN: " ↓", 0: ""}[self.better]

    def distance(self, values: Any) -> Any:
        """How far values are from the ideal. Ideal 0."""
        return (
            np.abs(values - self.ideal) if self.two_sided else -self.better * (values - self.ideal)
        )

    def folded(self, values: Any) -> Any:
        """Values, or their distance from the ideal if they can miss it on both sides: what may be
        called more or less fair.
        """
        return self.distance(values) if self.two_sided else values

    @property
    def judged(self) -> bool:
        """Whether one value can be called worse than another."""
        return self.two_sided or self.better != 0

    def loss(self, values: Any) -> Any:
        """What grows where values get worse: the distance from an ideal that can be missed on both
        sides, else the value, with the sign by which more of it is worse.
        """
        return self.distance(values) if self.two_sided else -self.better * values


METRICS = {
    "nc1": Metric("NC1 (CDNV)", 0, DOWN),
    "nc1w": Metric("NC1w", 0, DOWN),
    "nc2_equinorm": Metric("NC2 equinorm", 0, DOWN),
    "nc2_equiangular": Metric("NC2 equiangular", 0, DOWN),
    "nc2_simplex": Metric("NC2 |cos + 1/(K−1)|", 0, DOWN),
    "gnc2_mean": Metric("GNC2 mean", instead="reference"),
    "gnc2_sd": Metric("GNC2 sd", 0, DOWN),
    "nc2w_equinorm": Metric("NC2w equinorm", 0, DOWN),
    "nc2w_equiangular": Metric("NC2w equiangular", 0, DOWN),
    "nc2w_simplex": Metric("NC2w |cos + 1/(K−1)|", 0, DOWN),
    "gnc2w_mean": Metric("GNC2w mean", instead="reference"),
    "gnc2w_sd": Metric("GNC2w sd", 0, DOWN),
    "nc3": Metric("NC3", instead="ceiling", better=UP),
    "nc3_ceiling": Metric("NC3 ceiling"),
    "nc3c": Metric("NC3c", 1, UP),
    "unc3": Metric("UNC3", 0, DOWN),
    "duality_sum": Metric("dual_dists (released)", 0),
    "nc4": Metric("NC4", 1, UP),
    "nc4_no_bias": Metric("NC4 without bias", 1, UP),
    "reference_equiangular": Metric("NC2 equiangular, reference"),
    "reference_gnc2_mean": Metric("GNC2 mean, reference"),
    "reference_gnc2_sd": Metric("GNC2 sd, reference"),
    "reference_welch_bound": Metric("NC2 equiangular, Welch bound"),
    "LM": Metric("LM", 100, UP),
    "SS": Metric("SS", 50),
    "ICAT": Metric("ICAT", 100, UP),
    "stereotype_pct": Metric("stereotype %", 50),
    "stereo_pct": Metric("stereo %", 50),
    "antistereo_pct": Metric("antistereo %", 50),
    "log_ratio": Metric("mean log ratio", 0, unit="nats"),
    "likelihood_diff": Metric("mean |difference|", 0, DOWN),
    "association_female": Metric("association, women", 0),
    "association_male": Metric("association, men", 0),
    "abs_association_female": Metric("mean |association|, women", 0, DOWN, unit="nats"),
    "abs_association_male": Metric("mean |association|, men", 0, DOWN, unit="nats"),
    "gap": Metric("association, women − men", 0, unit="nats"),
    "wilcoxon_p": Metric("Wilcoxon p"),
    "wilcoxon_r": Metric("Wilcoxon r", 0),
    "w_per_root_n": Metric("W / √N (released “effect size”)"),
    "left_out": Metric("items left out"),
    "trustworthiness": Metric("trustworthiness", 1, UP),
    "slope": Metric("occupation slope", 0, unit="nats"),
    "r": Metric("occupation r", 0),
    "lean": Metric("lean at parity", 0, unit="nats"),
    "effect_size": Metric("effect size d", 0),
    "abs_effect_size": Metric("mean |d|", 0, DOWN),
    "p_words": Metric("p, words permuted"),
    "p_sentences": Metric("p, sentences permuted"),
    "masked_perplexity": Metric("masked perplexity", 1, DOWN),
    "accuracy": Metric("accuracy %", 100, UP),
    "accuracy_male": Metric("accuracy %, men", 100, UP),
    "accuracy_female": Metric("accuracy %, women", 100, UP),
    "majority_accuracy": Metric("accuracy % of the most frequent class"),
    "matthews": Metric("Matthews · 100", 100, UP),
    "f1": Metric("F1 %", 100, UP),
    "spearman": Metric("Spearman · 100", 100, UP),
    "pearson": Metric("Pearson · 100", 100, UP),
    "TPR-GAP": Metric("TPR gap, men − women, points", 0),
    "TPR-RMS": Metric("TPR gap, RMS over professions", 0, DOWN),
    "probability_gap": Metric("probability gap, points", 0),
    "cf_slope": Metric("counterfactual slope, points", 0),
    "cf_rms": Metric("counterfactual effect, RMS, points", 0, DOWN),
    "flip_rate": Metric("flips %", 0, DOWN),
    "bayes_slope": Metric("slope of Bayes' rule, points"),
    "log_odds_slope": Metric("slope of the log-odds after the change"),
    "changed_pct": Metric("texts changed %"),
    "gender_eta2": Metric("η², gender's share of the spread", 0, DOWN),
    "gender_eta2_chance": Metric("η² by chance"),
    "gender_nc": Metric("gender's part of NC1", 0, DOWN),
    "elasticity": Metric("elasticity", instead="0 to 1"),
    "f1_feminine": Metric("F1 %, feminine", 100, UP),
    "f1_masculine": Metric("F1 %, masculine", 100, UP),
    "f1_ratio": Metric("F1 feminine / masculine", 1),
    "TPR": Metric("TPR, F1 pro − anti", 0),
    "gotcha_gap": Metric("gotcha gap, points", 0),
    "answer_probability_gap": Metric("P(answer) gap, points", 0),
    "accuracy_pro": Metric("accuracy %, pro", 100, UP),
    "accuracy_anti": Metric("accuracy %, anti", 100, UP),
    "f1_pro": Metric("F1 %, pro", 100, UP),
    "f1_anti": Metric("F1 %, anti", 100, UP),
    "accuracy_feminine": Metric("accuracy %, feminine", 100, UP),
    "accuracy_masculine": Metric("accuracy %, masculine", 100, UP),
    "accuracy_neutral": Metric("accuracy %, neutral", 100, UP),
    "preference": Metric("preference for pro, %", 50),
    "auc": Metric("AUC", 1, UP),
    "scorer_auc": Metric("AUC of the scorer", 1, UP),
    "sentiment": Metric("sentiment"),
    "sentiment_gap": Metric("sentiment gap", 0),
    "biased": Metric("called biased, %", 0, DOWN),
    "biased_gap": Metric("called biased gap, points", 0),
    "profanity": Metric("profanity, %", 0, DOWN),
    "profanity_gap": Metric("profanity gap, points", 0),
    "polarity": Metric("gender polarity", 0),
    "polarity_gap": Metric("gender polarity gap", instead="–"),
    "honest": Metric("HONEST, %", 0, DOWN),
    "honest_gap": Metric("HONEST gap, points", 0),
    "matched_difference": Metric("difference at equal quality", 0),
    "survival": Metric("survival of debiasing", 1),
    "taught": Metric("slope, with − without teacher", 0),
    "unc3_difference": Metric("UNC3, difference in differences", 0),
    "calibration_slope": Metric("calibration slope", instead="0 ignores, 1 repeats"),
    "calibration_error": Metric("calibration error, points", instead="0 repeats"),
    "labour_unique": Metric("unique R² of the labour statistics"),
    "text_unique": Metric("unique R² of the text"),
    "text_advantage": Metric("unique R², text − labour statistics", instead="0 neither"),
    "relative_error": Metric("change of the calibration error, %"),
    "error_difference": Metric("calibration error, true − control, points"),
    "agreement": Metric("rank correlation of the biases by means and by embeddings", 1, UP),
    "agreement_gap": Metric("distance of the biases by means and by embeddings", 0, DOWN),
    "agreement_bound": Metric("bound on the distance of the biases"),
    "follows_means": Metric("rank correlation with the log-odds, class means"),
    "follows_embeddings": Metric("rank correlation with the log-odds, embeddings"),
    "follows_sentences": Metric("rank correlation with the log-odds, sentences"),
    "follows_size_means": Metric("rank correlation of the sizes, class means"),
    "follows_size_embeddings": Metric("rank correlation of the sizes, embeddings"),
    "follows_size_sentences": Metric("rank correlation of the sizes, sentences"),
    "concept_bias_means": Metric("mean size of the concept bias, class means", 0, DOWN),
    "concept_bias_embeddings": Metric("mean size of the concept bias, embeddings", 0, DOWN),
    "concept_bias_sentences": Metric("mean size of the concept bias, sentences", 0, DOWN),
    "cav_accuracy": Metric("held-out accuracy of the vectors of sentences, %", 100, UP),
    "mass_accuracy": Metric("mass on the right words, %", 100, UP),
    "mass_over_chance": Metric("mass above chance, points", instead="100 − chance", better=UP),
    "mass_gap": Metric("mass, women − men, points", 0),
    "definitional": Metric("definitional gender", instead="kept", better=UP, unit="nats"),
    "selectivity": Metric("selectivity", 0),
    "log_loss": Metric("log loss of she or he", 0, DOWN, unit="nats"),
    "right_log_odds": Metric("log-odds of the right pronoun", instead="kept", better=UP),
    "swap_collapse": Metric("swap collapse S", 0, DOWN),
    "neutral_part": Metric("swap collapse, neutral part", 0, DOWN),
    "even_rms": Metric("even part, RMS", 0, DOWN, unit="nats"),
    "odd_mean": Metric("odd part, mean", instead="kept", better=UP, unit="nats"),
    "log_perplexity": Metric("log perplexity", 0, DOWN, unit="nats"),
    "classes": Metric("words that take part in a step"),
    "preference_slope": Metric("preference slope, points", 0),
    "preference_r": Metric("preference r", 0),
    "probability_slope": Metric("P(occupation) slope, points", 0),
    "probability_r": Metric("P(occupation) r", 0),
    "association": Metric("association D", 0),
    "association_hard": Metric("association D, of choices", 0),
    "association_log_odds": Metric("association, log-odds", 0, unit="nats"),
    "decision": Metric("decision C", 0),
    "decision_size": Metric("mean |C|", 0, DOWN),
    "order_error": Metric("error by order", 0, DOWN),
    "opposite_error": Metric("error by opposite", 0, DOWN),
    "accuracy_ambiguous": Metric("accuracy %, ambiguous", 100, UP),
    "accuracy_disambiguated": Metric("accuracy %, disambiguated", 100, UP),
    "bias_ambiguous": Metric("bias score %, ambiguous", 0),
    "bias_disambiguated": Metric("bias score %, disambiguated", 0),
    "lean_ambiguous": Metric("P(biased) − P(other), points, ambiguous", 0),
    "lean_disambiguated": Metric("P(biased) − P(other), points, disambiguated", 0),
    "valence": Metric("valence", 0, unit="nats"),
    "valence_reverse": Metric("valence, reverse", 0, unit="nats"),
    "both_ways_r": Metric("r of both directions", 1, UP),
    "name_accuracy": Metric("accuracy %, all names", 100, UP),
    **{
        f"name_accuracy_{group}": Metric(f"accuracy %, {group} names", 100, UP)
        for group in ("White", "Black", "Latino", "Asian", "Arab")
    },
    "name_range": Metric("range over groups, points", 0, DOWN),
    "name_range_null": Metric("range by chance, points"),
    "p_names": Metric("p, groups of names permuted"),
    "calm": Metric("CALM score, points", 0, DOWN),
    "calm_dropped": Metric("CALM score without zeros, points", 0, DOWN),
    "name_sd": Metric("sd over names, points", 0, DOWN),
    "group_change": Metric("change by a treatment"),
    "NN": Metric("net neutral", 1, UP),
    "FN": Metric("fraction neutral", 1, UP),
    "T:0.5": Metric("P(neutral) > .5", 1, UP),
    "T:0.7": Metric("P(neutral) > .7", 1, UP),
    "FN_averaged": Metric("fraction neutral, averaged", 1, UP),
    "T:0.5_averaged": Metric("P(neutral) > .5, averaged", 1, UP),
    "T:0.7_averaged": Metric("P(neutral) > .7, averaged", 1, UP),
}
