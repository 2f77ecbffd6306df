import itertools

import numpy as np
import pytest

from shared.pretraining import crops, scenes, textures


@pytest.mark.parametrize("kind", list(scenes.SCENES))
def test_every_kind_of_scene_is_drawn_in_range_and_is_not_empty(kind: str) -> None:
    drawn = [scenes.SCENES[kind](np.random.default_rng(seed), 96) for seed in range(8)]
    assert all(d.shape == (96, 96, 3) and np.isfinite(d).all() for d in drawn)
    shown = np.clip(drawn, 0, 1)
    assert np.median(shown.std((1, 2, 3))) > 0.02, "most pictures show something"
    assert len({round(float(d.mean()), 4) for d in drawn}) == 8, "no two are alike"


@pytest.mark.parametrize("field", textures.FIELDS, ids=lambda f: f.__name__)
def test_a_field_fills_its_range(field) -> None:
    made = field(np.random.default_rng(3), 64)
    assert made.shape == (64, 64) and made.dtype == np.float32
    assert made.min() >= 0 and made.max() <= 1 and made.std() > 0.01


def test_the_same_seed_draws_the_same_scene() -> None:
    first, second, other = (scenes.scene(np.random.default_rng(s), 64) for s in (5, 5, 6))
    assert first.dtype == np.uint8 and np.array_equal(first, second) and not np.array_equal(first, other)


def test_a_crop_of_a_plain_picture_is_plain_and_keeps_its_colour() -> None:
    plain = np.full((200, 200, 3), (10, 120, 240), np.uint8)
    for seed in range(20):
        cut = crops.crop(np.random.default_rng(seed), plain, 48)
        assert cut.shape == (48, 48, 3) and np.abs(cut.astype(int) - (10, 120, 240)).max() <= 1


def test_batches_follow_the_seed_and_views_are_two_cuts_of_one_scene() -> None:
    def first(seed: int) -> np.ndarray:
        stream = crops.batches(seed, batch=3, side=32, views=2)
        made = next(itertools.islice(stream, 1))
        stream.close()
        return made

    a, b, c = first(1), first(1), first(2)
    assert a.shape == (2, 3, 32, 32, 3) and a.dtype == np.uint8
    assert np.array_equal(a, b) and not np.array_equal(a, c)
    assert not np.array_equal(a[0], a[1])
