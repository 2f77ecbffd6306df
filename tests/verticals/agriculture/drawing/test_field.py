"""The field simulator: what its truth says is what was drawn, and a flight is what the files say it is."""

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from shared.errors import ConfigError
from verticals.agriculture.drawing import files, outline, random_fields, scene, weather
from verticals.agriculture.drawing.field import SimulatedField, draw, two_flights
from verticals.agriculture.drawing.setting import NODATA, Setting

pytest.importorskip("rasterio", reason="the extra 'agriculture' is not installed")
SMALL = Setting(width=420, height=380, gsd_m=0.05, patch_m=4.0)
DISEASES = SMALL.diseases


@pytest.fixture(scope="module")
def drawn() -> SimulatedField:
    return draw(SMALL, seed=4)


def share(field: SimulatedField, *labels: str) -> float:
    """Of the crop's leaves."""
    return float(np.isin(field.truth[field.canopy], [field.labels.index(x) for x in labels]).mean())


def test_the_same_seed_draws_the_same_field_and_another_seed_another(drawn: SimulatedField) -> None:
    again, other = draw(SMALL, seed=4), draw(SMALL, seed=5)
    assert np.array_equal(again.bands, drawn.bands) and np.array_equal(again.truth, drawn.truth)
    assert again.weather.equals(drawn.weather)
    assert not np.array_equal(other.truth, drawn.truth) and other.boundary != drawn.boundary


def test_classes_canopy_and_severity_tell_one_story(drawn: SimulatedField) -> None:
    sick = np.isin(drawn.truth, [drawn.labels.index(d) for d in DISEASES])
    healthy = drawn.truth == drawn.labels.index("healthy")
    assert np.array_equal(np.isfinite(drawn.severity), drawn.canopy)
    assert np.array_equal(drawn.canopy, sick | healthy)
    assert (drawn.severity[healthy] == 0).all() and drawn.severity[sick].max() <= 100
    assert 0.14 < share(drawn, *DISEASES) < 0.24, "an infestation of 0.2 was asked for"
    assert min(share(drawn, d) for d in DISEASES) > 0.04


def test_severity_is_the_share_of_leaf_area_under_lesions() -> None:
    area = outline.field(np.random.default_rng(1), SMALL.shape, SMALL.gsd_m)
    ground = scene.grown(SMALL, 2, outline.inside(area, SMALL.shape, SMALL.gsd_m))
    lesion = sum(ground.lesions.values(), np.zeros(SMALL.shape, np.float32))
    # Each plant's severity weighs with its leaf pixels, so the means over all leaves must be equal.
    assert float(np.nanmean(ground.severity)) == pytest.approx(100 * float(lesion[ground.canopy].mean()), rel=1e-4)
    assert float(np.nanmax(ground.severity)) > 20


def test_disease_comes_in_patches_of_the_length_that_was_asked_for() -> None:
    rng = np.random.default_rng(0)
    fields = [random_fields.gaussian_field(rng, (300, 300), 25.0) for _ in range(40)]
    at = {lag: float(np.mean([np.mean(f[:, lag:] * f[:, : 300 - lag]) for f in fields])) for lag in (0, 25, 50)}
    assert at[0] == pytest.approx(1, abs=0.1)
    assert at[25] / at[0] == pytest.approx(np.exp(-1), abs=0.05)
    assert at[50] / at[0] == pytest.approx(np.exp(-4), abs=0.06)


def test_the_later_flight_sees_the_same_plants_with_more_disease_under_a_wrong_georeference() -> None:
    first, second = two_flights(replace(SMALL, drift=0.0, cloud=0.0), seed=6, shift_m=(0.4, -0.25), infestation=0.4)
    assert second.true_transform == first.transform
    assert (second.transform.c - first.transform.c, second.transform.f - first.transform.f) == pytest.approx(
        (0.4, -0.25)
    )
    assert share(second, *DISEASES) > 1.5 * share(first, *DISEASES)
    both = first.canopy & second.canopy
    for disease in DISEASES:
        before, after = (f.truth[both] == f.labels.index(disease) for f in (first, second))
        assert not (before & ~after).any(), "a plant does not get well again"
    same = both & first.valid & second.valid & (first.truth == 0) & (second.truth == 0)
    assert same.any() and not np.array_equal(first.bands[same], second.bands[same])
    green = [cv2.resize(f.bands[..., 1].astype(np.float32), None, fx=0.5, fy=0.5) for f in (first, second)]
    (dx, dy), _ = cv2.phaseCorrelate(*green)
    assert abs(dx) < 0.5 and abs(dy) < 0.5, "pixels stay, only their coordinates are wrong"


def test_near_infrared_ranks_leaves_over_lesions_and_soil() -> None:
    field = draw(replace(SMALL, nir=True, cloud=0.0), seed=4)
    assert field.bands.dtype == np.uint16 and field.bands.shape == (*SMALL.shape, 4)
    red, nir = field.bands[..., 0].astype(float), field.bands[..., 3].astype(float)
    ndvi = (nir - red) / np.maximum(nir + red, 1)
    healthy = float(np.median(ndvi[field.valid & (field.truth == 0)]))
    sick = float(np.median(ndvi[field.valid & (np.nan_to_num(field.severity) > 30)]))
    soil = float(np.median(ndvi[field.valid & (field.truth == 1)]))
    assert healthy > sick + 0.1 and sick > soil


@pytest.mark.parametrize("bbch, low, high", [(12, 0.0, 0.15), (33, 0.45, 0.75), (65, 0.75, 0.97)])
def test_the_crop_closes_its_rows_as_it_grows(bbch: int, low: float, high: float) -> None:
    field = draw(replace(SMALL, bbch=bbch, infestation=0.0, weeds=0.0), seed=1)
    assert low < float(field.canopy[field.truth != NODATA].mean()) < high
    assert share(field, "healthy") == 1


def test_a_corner_of_the_field_was_not_flown_and_its_truth_is_known_all_the_same() -> None:
    field = draw(replace(SMALL, uncovered=0.1), seed=3)
    inside = field.truth != NODATA
    assert float((inside & ~field.valid).sum() / inside.sum()) == pytest.approx(0.1, abs=0.02)
    assert (field.bands[~field.valid] == 0).all() and (field.bands[field.valid] > 0).all()


def test_peers_read_the_files_and_agree_about_the_field(drawn: SimulatedField, tmp_path: Path) -> None:
    if shutil.which("gdalinfo") is None:
        pytest.skip("gdalinfo is not installed (Debian: gdal-bin)")
    folder = files.write(drawn, tmp_path / "field")
    said = {
        name: subprocess.run(
            ["gdalinfo", "-stats", "--config", "GDAL_PAM_ENABLED", "NO", str(folder / name)],
            check=True, capture_output=True, text=True,
        ).stdout
        for name in ("field.tif", "truth.tif", "severity.tif")
    }  # fmt: skip
    assert "Size is 420, 380" in said["field.tif"] and 'ID["EPSG",32632]' in said["field.tif"]
    assert "NoData Value=0" in said["field.tif"] and "Pixel Size = (0.05" in said["field.tif"]
    assert "ColorInterp=Palette" in said["truth.tif"] and "NoData Value=255" in said["truth.tif"]
    assert f"STATISTICS_MEAN={np.nanmean(drawn.severity):.3f}"[:19] in said["severity.tif"]
    question = "SELECT ST_Area(geom) AS a FROM boundary"
    layer = subprocess.run(
        ["ogrinfo", "-dialect", "SQLite", "-sql", question, str(folder / "boundary.gpkg")],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    assert "Warning" not in layer.stderr
    area = float(layer.stdout.split("a (Real) = ")[1].split()[0])
    assert area == pytest.approx(sum(drawn.square_metres().values()), rel=0.002)
    assert pd.read_csv(folder / "weather.csv").columns.tolist() == list(weather.COLUMNS)


def test_a_season_obeys_what_no_station_can_break() -> None:
    season = weather.season(5)
    assert (season.tmin_c < season.tmax_c).all() and (season.tdew_c < season.tmax_c).all()
    assert season.rhmax_pct.between(5, 100).all() and (season.rhmin_pct <= season.rhmax_pct).all()
    assert (pd.to_datetime(season.date).diff().dropna() == pd.Timedelta(days=1)).all()
    assert season.hours_rh90.between(0, 24).all() and 80 < season.rain_mm.sum() < 700
    assert season.solar_mj_m2[season.rain_mm > 0].mean() < season.solar_mj_m2[season.rain_mm == 0].mean()


@pytest.mark.parametrize(
    "wrong, said",
    [({"gsd_m": 3.0}, "gsd_m is 3.0"), ({"diseases": ("measles",)}, "potato_late_blight"), ({"bbch": 99}, "9 to 65")],
)
def test_a_setting_that_cannot_be_drawn_is_refused_with_what_is_allowed(wrong: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        replace(SMALL, **wrong)
