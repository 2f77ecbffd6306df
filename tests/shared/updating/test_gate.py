"""Another kind of picture is told from the bundle's own, and a batch of the same kind is not."""

import numpy as np
import pytest

from shared.updating import gate


def vectors(n: int, seed: int, shift: float = 0.0) -> tuple[np.ndarray, list[str]]:
    rng = np.random.default_rng(seed)
    return rng.normal(0, 1, (n, 60)) + shift * np.linspace(-1, 1, 60), [f"{seed}-{i // 2}" for i in range(n)]


@pytest.mark.parametrize("seed", range(5))
def test_images_of_the_same_kind_are_not_told_apart(seed: int) -> None:
    apart = gate.told_apart(vectors(80, 2 * seed), vectors(60, 2 * seed + 1))
    assert 0.25 < apart < 0.75 and gate.alike(np.zeros(80), np.zeros(60), apart).passed


def test_a_shift_that_novelty_does_not_see_is_refused_with_its_number() -> None:
    apart = gate.told_apart(vectors(80, 0, shift=1.0), vectors(60, 1))
    check = gate.alike(np.zeros(80), np.zeros(60), apart)
    assert apart > 0.95 and not check.passed
    assert f"AUROC of {apart:.2f}, allowed 0.90: look at light, focus and camera" in check.said


def test_a_few_independent_images_say_nothing() -> None:
    one_place = vectors(80, 0, shift=3.0)[0], [f"p{i // 10}" for i in range(80)]
    assert gate.told_apart(one_place, vectors(60, 1)) == 0.5


@pytest.mark.parametrize(("n", "wrong", "passes"), [(20, 1, True), (400, 60, False)])
def test_a_loss_beyond_its_limit_is_refused_or_explained(n: int, wrong: int, passes: bool) -> None:
    truth, sure = np.arange(n) % 2, np.eye(2)[np.arange(n) % 2]
    other = sure.copy()
    other[:wrong] = 1 - other[:wrong]
    parent, candidate = (gate.Judged(p, np.zeros(n), size=1, nodes=1) for p in (sure, other))
    checks = gate.old_and_new(parent, candidate, truth, list(map(str, range(n))), ("a", "b"), gate.Limits())
    together = next(check for check in checks if check.name == "old labels together")
    assert together.passed is passes and "allowed -1.0" in together.said
    assert ("beyond it, and too few images to tell from chance" in together.said) is passes
