import numpy as np
import pytest
from scipy.stats import binom

from shared.inference.risk import at_least, certify

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


def test_the_promise_holds_for_new_parts_when_images_of_one_part_are_alike() -> None:
    """Parts differ much more than the images of one part; counting images would break the promise."""
    rng = np.random.default_rng(0)
    kept = naive = 0
    for _ in range(1000):
        part = rng.normal(0, 1, 70)
        risks = 1 / (1 + np.exp(-(part[:, None] + 0.2 * rng.normal(size=(70, 15))))).ravel()
        groups = [str(i) for i in range(70) for _ in range(15)]
        new = 1 / (1 + np.exp(-rng.normal(0, np.hypot(1, 0.2), 20000)))
        threshold = certify(risks, NONE, recall=0.95, confidence=0.95, groups=groups).threshold
        kept += (new >= threshold).mean() >= 0.95 - 0.003
        naive += (new >= certify(risks, NONE, recall=0.95, confidence=0.95).threshold).mean() >= 0.95 - 0.003
    assert kept / 1000 >= 0.95 - 3 * np.sqrt(0.05 * 0.95 / 1000)
    assert naive / 1000 < 0.9


def test_too_few_groups_certify_what_they_can_and_flag_at_the_least_risky_positive() -> None:
    risks = np.linspace(0.2, 1, 59)
    certificate = certify(risks, NONE, recall=0.95, confidence=0.95, groups=["a"] * 30 + ["b"] * 29)
    assert certificate.groups == 2 and certificate.more_needed == 57 and certificate.threshold == risks.min()
    assert certificate.certified_recall == pytest.approx(0.05 ** (1 / 2))
    assert "on 2 independent groups (59 images, 0 missed); 95.0% needs 57 more groups" in str(certificate)


def test_the_promise_holds_for_the_best_of_several_models_chosen_on_the_same_images() -> None:
    """Of ten models with risks of their own, the one with the highest threshold is chosen: the least work."""
    rng = np.random.default_rng(1)
    kept = naive = 0
    for _ in range(1000):
        risks = rng.uniform(size=(10, 150))
        for paid, candidates in ((True, 10), (False, 1)):
            found = [certify(r, NONE, recall=0.95, confidence=0.95, candidates=candidates).threshold for r in risks]
            if paid:
                kept += 1 - max(found) >= 0.95
            else:
                naive += 1 - max(found) >= 0.95
    assert kept / 1000 >= 0.95 - 3 * np.sqrt(0.05 * 0.95 / 1000)
    assert naive / 1000 < 0.9


@pytest.mark.parametrize(
    ("groups", "wanted", "said"), [(58, 0.95, "94.9%"), (148, 0.98, "97.9%"), (298, 0.99, "98.9%")]
)
def test_a_recall_that_is_one_group_short_is_not_rounded_up_to_the_wanted_one(
    groups: int, wanted: float, said: str
) -> None:
    certificate = certify(np.full(groups, 0.22358), NONE, recall=wanted, confidence=0.95)
    assert not certificate.met
    assert str(certificate).startswith(
        f"recall >= {said} with 95% confidence at risk >= 0.223, on {groups} independent"
    )


def test_a_bound_of_whole_thousandths_is_not_rounded_down_further() -> None:
    assert [at_least(share / 1000) for share in range(1001)] == pytest.approx([share / 1000 for share in range(1001)])
