import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from shared.inference import calibration


def scores_and_labels(temperature: float, n: int = 4000) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    honest = rng.normal(0, 2, (n, 4))
    labels = np.array([rng.choice(4, p=p) for p in calibration.softmax(honest)])
    return honest * temperature, labels


@pytest.mark.parametrize("temperature", [0.05, 1.0, 20.0])
def test_the_temperature_that_distorted_the_scores_is_found(temperature: float) -> None:
    scores, labels = scores_and_labels(temperature)
    found = calibration.fit_temperature(scores, labels, np.ones(len(labels)))
    assert found == pytest.approx(temperature, rel=0.08)


def test_the_minimum_agrees_with_scipy() -> None:
    scores, labels = scores_and_labels(3.0, n=300)
    weights = np.random.default_rng(2).uniform(0.1, 1, 300)
    weights /= weights.sum()

    def loss(log_t: float) -> float:
        return calibration.negative_log_likelihood(scores / np.exp(log_t), labels, weights)

    expected = np.exp(minimize_scalar(loss, bounds=(-5, 5), method="bounded", options={"xatol": 1e-8}).x)
    assert calibration.fit_temperature(scores, labels, weights) == pytest.approx(expected, rel=1e-3)


def test_honest_probabilities_have_a_small_calibration_error_and_boasting_ones_a_large_one() -> None:
    scores, labels = scores_and_labels(1.0)
    assert calibration.expected_calibration_error(calibration.softmax(scores), labels) < 0.03
    assert calibration.expected_calibration_error(calibration.softmax(scores * 10), labels) > 0.15
