import numpy as np
import pytest
import torch

from shared.training import augment
from shared.tuning import Tuning

STILL = Tuning(
    flip_horizontal=False, rotation_degrees=0.0, scale=(1.0, 1.0), brightness=0.0, contrast=0.0, saturation=0.0
)


def noise(n: int = 4, side: int = 32) -> torch.Tensor:
    torch.manual_seed(0)
    return torch.randint(256, (n, 3, side, side), dtype=torch.uint8)


def only(**changes: object) -> Tuning:
    return Tuning(**{**STILL.__dict__, **changes})


def test_with_nothing_wanted_the_picture_stays_as_it_is() -> None:
    pixels = noise()
    assert torch.allclose(augment.views(pixels, 32, STILL), pixels.float(), atol=1e-2)


@pytest.mark.parametrize(
    ("changes", "axes"),
    [({"flip_horizontal": True}, [(), (3,)]), ({"flip_vertical": True}, [(), (2,)])],
    ids=["horizontal", "vertical"],
)
def test_mirroring_happens_to_some_images_and_not_to_others(
    changes: dict[str, object], axes: list[tuple[int, ...]]
) -> None:
    pixels = noise(40)
    seen = augment.views(pixels, 32, only(**changes))
    counts = [
        sum(
            torch.allclose(s, p.float().flip([a - 1 for a in axis]), atol=1e-2)
            for s, p in zip(seen, pixels, strict=True)
        )
        for axis in axes
    ]
    assert sum(counts) == 40 and min(counts) > 5


def test_quarter_turns_are_all_four_turns() -> None:
    pixels = noise(60)
    seen = augment.views(pixels, 32, only(quarter_turns=True))
    turned = [
        [bool(torch.allclose(s, p.float().rot90(k, (1, 2)), atol=0.1)) for k in range(4)]
        for s, p in zip(seen, pixels, strict=True)
    ]
    assert (np.sum(turned, 1) == 1).all() and (np.sum(turned, 0) > 5).all()


@pytest.mark.parametrize(
    "changes",
    [
        {"rotation_degrees": 30.0},
        {"scale": (0.8, 1.2)},
        {"brightness": 0.2},
        {"contrast": 0.2},
        {"saturation": 0.5},
        {"hue_degrees": 20.0},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_each_image_of_a_batch_is_changed_differently(changes: dict[str, object]) -> None:
    one = noise(1).repeat(6, 1, 1, 1)
    seen = augment.views(one, 32, only(**changes))
    assert len({round(float(view.double().square().mean()), 6) for view in seen}) == 6
    assert seen.min() >= 0 and seen.max() <= 255


def test_a_turned_or_smaller_picture_has_no_black_corners() -> None:
    white = torch.full((8, 3, 32, 32), 200, dtype=torch.uint8)
    seen = augment.views(white, 32, only(rotation_degrees=45.0, scale=(0.5, 1.0)))
    assert torch.allclose(seen, torch.full_like(seen, 200.0), atol=0.1)


def test_grey_stays_grey_under_hue_and_saturation() -> None:
    grey = noise()[:, :1].repeat(1, 3, 1, 1)
    seen = augment.views(grey, 32, only(hue_degrees=90.0, saturation=0.9))
    assert torch.allclose(seen, grey.float(), atol=0.1)


def test_brightness_stays_within_its_share() -> None:
    flat = torch.full((200, 3, 8, 8), 100, dtype=torch.uint8)
    levels = augment.views(flat, 8, only(brightness=0.2)).mean((1, 2, 3))
    assert 80 <= levels.min() < 84 and 116 < levels.max() <= 120


def test_views_are_smaller_than_what_is_kept() -> None:
    assert augment.views(noise(2, 37), 32, Tuning()).shape == (2, 3, 32, 32)


@pytest.mark.parametrize(("mixup", "cutmix"), [(0.2, 0.0), (0.0, 1.0), (0.2, 1.0)])
def test_mixed_targets_add_up_to_1(mixup: float, cutmix: float) -> None:
    mix = augment.mixing(Tuning(mixup=mixup, cutmix=cutmix), 3)
    assert mix is not None
    pixels, targets = mix(noise().float(), torch.tensor([0, 1, 2, 1]))
    assert pixels.shape == (4, 3, 32, 32) and torch.allclose(targets.sum(1), torch.ones(4))
    assert augment.mixing(Tuning(mixup=0.0, cutmix=0.0), 3) is None
