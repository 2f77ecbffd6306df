import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from shared.data import tiles
from shared.errors import ConfigError

SIDES = st.integers(1, 90)
TILES = st.integers(1, 40)
HALOS = st.integers(0, 12)


@given(SIDES, SIDES, TILES, HALOS)
def test_cores_cover_the_frame_exactly_once_and_lie_in_their_windows(
    width: int, height: int, tile: int, halo: int
) -> None:
    times = np.zeros((height, width), int)
    for cell in tiles.grid(width, height, tile=tile, halo=halo):
        core, window = cell.core, cell.window
        times[core.y0 : core.y1, core.x0 : core.x1] += 1
        assert 0 <= window.x0 <= core.x0 < core.x1 <= window.x1 <= width
        assert 0 <= window.y0 <= core.y0 < core.y1 <= window.y1 <= height
        assert core.width <= tile and core.height <= tile
    assert (times == 1).all()


@given(SIDES, SIDES, TILES, HALOS)
def test_each_core_has_its_halo_or_the_border_of_the_frame_around_it(
    width: int, height: int, tile: int, halo: int
) -> None:
    for cell in tiles.grid(width, height, tile=tile, halo=halo):
        core, window = cell.core, cell.window
        assert window.x0 <= max(core.x0 - halo, 0) and window.x1 >= min(core.x1 + halo, width)
        assert window.y0 <= max(core.y0 - halo, 0) and window.y1 >= min(core.y1 + halo, height)


@given(SIDES, SIDES, TILES, HALOS)
def test_windows_have_one_size_wherever_the_frame_is_large_enough(
    width: int, height: int, tile: int, halo: int
) -> None:
    side = tile + 2 * halo
    sizes = {(c.window.width, c.window.height) for c in tiles.grid(width, height, tile=tile, halo=halo)}
    assert sizes == {(min(side, width), min(side, height))}


@given(st.integers(0, 2**32), SIDES, SIDES, TILES, HALOS, st.sampled_from([(), (1,), (3,)]))
def test_a_function_of_single_pixels_gives_the_same_with_and_without_tiles(
    seed: int, width: int, height: int, tile: int, halo: int, channels: tuple[int, ...]
) -> None:
    frame = np.random.default_rng(seed).integers(0, 256, (height, width, *channels)).astype(np.uint8)

    def negative(part: NDArray[np.uint8]) -> NDArray[np.float32]:
        return (255 - part).astype(np.float32) / 3

    found = tiles.apply(frame, negative, tile=tile, halo=halo)
    assert found.dtype == np.float32
    assert np.array_equal(found, negative(frame))


@given(st.integers(0, 2**32), SIDES, SIDES, TILES, st.integers(2, 12))
def test_a_blur_of_5_x_5_gives_the_same_with_a_halo_of_2_or_more(
    seed: int, width: int, height: int, tile: int, halo: int
) -> None:
    frame = np.random.default_rng(seed).integers(0, 256, (height, width)).astype(np.float64)

    def blur(part: NDArray[np.float64]) -> NDArray[np.float64]:
        # Zeros around the part: at the frame's border the whole frame has them, too.
        return np.asarray(cv2.blur(part, (5, 5), borderType=cv2.BORDER_CONSTANT))

    found = tiles.apply(frame, blur, tile=tile, halo=halo)
    assert np.allclose(found, blur(frame), rtol=0, atol=1e-9)


def test_a_blur_of_5_x_5_shows_a_seam_with_a_halo_of_1() -> None:
    frame = np.random.default_rng(0).integers(0, 256, (40, 40)).astype(np.float64)

    def blur(part: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(cv2.blur(part, (5, 5), borderType=cv2.BORDER_CONSTANT))

    assert not np.allclose(tiles.apply(frame, blur, tile=10, halo=1), blur(frame))


def test_a_function_may_change_the_number_of_channels() -> None:
    frame = np.arange(35 * 20, dtype=np.float64).reshape(20, 35)
    found = tiles.apply(frame, lambda part: np.stack([part, -part], -1), tile=8, halo=3)
    assert np.array_equal(found, np.stack([frame, -frame], -1))


@pytest.mark.parametrize(("tile", "halo"), [(0, 2), (-1, 0), (4, -1)])
def test_tiles_without_pixels_and_negative_halos_are_refused(tile: int, halo: int) -> None:
    with pytest.raises(ConfigError, match=f"tile is {tile} and halo {halo}; allowed"):
        list(tiles.grid(10, 10, tile=tile, halo=halo))
