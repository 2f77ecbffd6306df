"""After any sequence of adding, forgetting and pooling, the head is the one that fitting anew gives."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.errors import BundleError, DataError
from shared.training import head, sums
from shared.training.sums import Sums

D, LABELS = 12, ("bent", "ok", "scratch", "stain")
STEPS = st.lists(
    st.tuples(st.sampled_from(["add", "forget", "merge", "fold", "file"]), st.integers(0, 10**6)),
    min_size=1,
    max_size=8,
)


def some(rng: np.random.Generator, labels: list[str]) -> np.ndarray:
    """Features as a backbone gives them: far from 0, of very different sizes, one that never moves."""
    centre = np.array([LABELS.index(label) for label in labels])[:, None]
    x = 3 + np.geomspace(1e-3, 10, D) * (rng.normal(size=(len(labels), D)) + 0.5 * centre)
    x[:, 0] = 0.25
    return x.astype(np.float32)


def refit(images: dict[str, tuple[str, np.ndarray]], strength: float) -> head.Head:
    labels = sorted({label for label, _ in images.values()})
    y = np.array([labels.index(label) for label, _ in images.values()])
    x = np.stack([vector for _, vector in images.values()]).astype(np.float64)
    return next(head.ridge(x, y, len(labels), [strength]))


def drawn(rng: np.random.Generator, start: int, labels: tuple[str, ...], n: int) -> dict[str, tuple[str, np.ndarray]]:
    chosen = [str(label) for label in rng.choice(labels, n)]
    return {f"i{start + k}": (label, x) for k, (label, x) in enumerate(zip(chosen, some(rng, chosen), strict=True))}


def made(images: dict[str, tuple[str, np.ndarray]], key: str = "k") -> Sums:
    ids = list(images)
    return sums.of(key, np.stack([images[i][1] for i in ids]), [images[i][0] for i in ids], ids, ids)


@settings(max_examples=60, deadline=None)
@given(steps=STEPS, seed=st.integers(0, 10**6), strength=st.sampled_from([0.003, 0.3, 30.0]))
def test_after_any_sequence_of_steps_the_weights_are_those_of_fitting_anew(
    steps: list[tuple[str, int]], seed: int, strength: float, tmp_path_factory: pytest.TempPathFactory
) -> None:
    rng = np.random.default_rng(seed)
    images = drawn(rng, 0, LABELS[:2], 12) | {"a": ("bent", some(rng, ["bent"])[0]), "b": ("ok", some(rng, ["ok"])[0])}
    kept = made(images)
    for n, (step, number) in enumerate(steps):
        rng = np.random.default_rng(number)
        if step in ("add", "merge"):
            fresh = drawn(rng, 1000 * (n + 1), LABELS[: 2 + number % 3], 3 + number % 40)
            images |= fresh
            if step == "merge":
                kept = kept.merge(made(fresh))
            else:
                ids = list(fresh)
                kept = kept.add(np.stack([fresh[i][1] for i in ids]), [fresh[i][0] for i in ids], ids, ids)
        elif step == "forget":
            gone = [i for i in images if i not in ("a", "b") and rng.random() < 0.3]
            kept = kept.forget(gone, {i: images[i][1] for i in gone})
            images = {i: v for i, v in images.items() if i not in gone}
        elif step == "fold":
            kept = replace(kept, blocks={label: block.fold(kept.origin) for label, block in kept.blocks.items()})
        else:
            folder = tmp_path_factory.mktemp("sums")
            kept.save(folder)
            read = sums.load(folder)
            assert read is not None and read.ids == kept.ids
            kept = read
    own, expected = kept.head(strength), refit(images, strength)
    assert kept.ids == set(images)
    for name in ("mean", "deviation", "weights", "bias"):
        np.testing.assert_allclose(getattr(own, name), getattr(expected, name), rtol=1e-8, atol=1e-8)


def test_many_images_of_a_label_are_folded_and_take_no_more_room(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    images = drawn(rng, 0, LABELS[:2], 400)
    kept = made(images)
    assert all(len(block.ids) == 0 and len(block.folded) > 100 for block in kept.blocks.values())
    with pytest.raises(DataError, match="give its file"):
        kept.forget(["i7"])
    np.testing.assert_allclose(kept.head(1.0).weights, refit(images, 1.0).weights, rtol=1e-8, atol=1e-8)


def test_what_cannot_be_pooled_is_refused_with_its_reason() -> None:
    rng = np.random.default_rng(0)
    images = drawn(rng, 0, LABELS, 30)
    with pytest.raises(DataError, match="different backbones"):
        made(images).merge(made(drawn(rng, 100, LABELS, 30), key="other"))
    with pytest.raises(DataError, match="is in both"):
        made(images).merge(made(images))
    with pytest.raises(DataError, match="is among the training images already"):
        made(images).add(np.zeros((1, D)), ["ok"], ["i3"], ["c"])


def test_a_damaged_file_is_one_sentence(tmp_path: Path) -> None:
    path = made(drawn(np.random.default_rng(0), 0, LABELS, 30)).save(tmp_path)
    assert sums.load(tmp_path / "elsewhere") is None
    whole = path.read_bytes()
    for data in (b"", whole[:100], whole[:-20], b"\0" * len(whole)):
        path.write_bytes(data)
        with pytest.raises(BundleError, match="build again"):
            sums.load(tmp_path)
