import numpy as np
import pytest
from scipy.stats import binom

from shared.inference.risk import certify

NONE = np.zeros(0)


@pytest.mark.parametrize(("recall", "needed"), [(0.95, 59), (0.98, 149), (0.99, 299), (0.995, 598), (0.999, 2995)])
def test_without_a_miss_the_well_known_sample_sizes_are_needed(recall: float, needed: int) -> None:
    risks = np.linspace(0.5, 1.0, needed)
    assert certify(risks, NONE, recall=recall, confidence=0.95).met
    short = certify(risks[1:], NONE, recall=recall, confidence=0.95)
    assert not short.met and short.more_needed == 1


def test_the_bound_is_the_one_of_clopper_and_pearson() -> None:
    """At the certified recall, missing this few images has exactly the probability 1 - confidence."""
    certificate = certify(np.linspace(0, 1, 400), NONE, recall=0.95, confidence=0.9)
    n, missed = certificate.positives, certificate.missed
    assert missed > 0 and certificate.met
    assert binom.cdf(missed, n, 1 - certificate.certified_recall) == pytest.approx(0.1, abs=1e-9)
    assert binom.cdf(missed + 1, n, 0.05) > 0.1  # one more miss would break the promise


def test_the_threshold_is_the_largest_that_keeps_the_promise() -> None:
    risks = np.linspace(0, 1, 1000)
    certificate = certify(risks, np.array([0.0, 0.5, 1.0]), recall=0.9, confidence=0.95)
    assert (risks < certificate.threshold).sum() == certificate.missed
    assert 0.05 < certificate.threshold < 0.1
    assert certificate.flagged_ok == pytest.approx(2 / 3)


def test_ties_at_the_threshold_are_flagged() -> None:
    certificate = certify(np.full(200, 0.7), NONE, recall=0.9, confidence=0.95)
    assert certificate.threshold == 0.7 and certificate.missed == 0


def test_nothing_to_certify_flags_everything_and_says_how_many_are_needed() -> None:
    certificate = certify(NONE, np.array([0.1, 0.2]), recall=0.98, confidence=0.95)
    assert certificate.threshold == 0.0 and certificate.more_needed == 149
    assert "nothing certified" in str(certificate)


def test_the_promise_holds_as_often_as_it_says() -> None:
    """The true recall at the chosen threshold is at least the wanted one in at least 95 % of 2,000 draws."""
    rng = np.random.default_rng(0)
    kept = 0
    for _ in range(2000):
        certificate = certify(rng.uniform(size=150), NONE, recall=0.95, confidence=0.95)
        kept += 1 - certificate.threshold >= 0.95  # risks are uniform: the recall at t is 1 - t
    assert kept / 2000 >= 0.95 - 3 * np.sqrt(0.05 * 0.95 / 2000)


def test_the_sentence_counts_independent_groups() -> None:
    certificate = certify(np.linspace(0.2, 1, 59), NONE, recall=0.95, confidence=0.95, groups=["a"] * 30 + ["b"] * 29)
    assert certificate.groups == 2 and "59 images from 2 independent groups" in str(certificate)
