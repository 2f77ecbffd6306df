import numpy as np

from shared.data import shortcuts
from shared.data.quality import Measures

N = 300


def measures(**overrides: np.ndarray) -> list[Measures]:
    rng = np.random.default_rng(0)
    names = [f for f in Measures.__dataclass_fields__ if f not in ("width", "height")]
    columns = {name: overrides.get(name, rng.uniform(0.3, 0.6, N)) for name in names}
    return [Measures(**{k: float(v[i]) for k, v in columns.items()}, width=64, height=64) for i in range(N)]


LABELS = np.arange(N) % 3
FOLD = np.arange(N) // 3 % 5
ORIGINS = [("JPEG", "", 1000)] * N


def balanced(found: np.ndarray) -> float:
    return float(np.mean([(found[c == LABELS] == c).mean() for c in range(3)]))


def test_a_brightness_that_follows_the_label_tells_it_and_others_do_not() -> None:
    bright = np.random.default_rng(1).normal(0.4 + 0.1 * (LABELS == 2), 0.02)
    found = shortcuts.properties(measures(brightness=bright), ORIGINS, {})
    told = {p.name: balanced(shortcuts.predict(p, LABELS, FOLD)) for p in found}
    assert told.pop("brightness") > 0.6 and max(told.values()) < 0.45


def test_what_is_the_same_for_all_is_no_property() -> None:
    names = {p.name for p in shortcuts.properties(measures(), ORIGINS, {"camera": ["a"] * N})}
    assert names == {"blur", "brightness", "contrast", "colour"}


def test_formats_cameras_and_columns_of_the_recording_are_tried_and_others_are_not() -> None:
    origins = [("PNG" if c == 0 else "JPEG", "Maker" if c == 1 else "", 500 + i) for i, c in enumerate(LABELS)]
    columns = {"camera": [f"c{c}" for c in LABELS], "exposure": [str(c) for c in LABELS], "diagnosis": ["x", "y"] * 150}
    found = {p.name: p for p in shortcuts.properties(measures(), origins, columns)}
    assert {"file format", "EXIF camera", "column camera", "column exposure", "file size"} < set(found)
    assert "column diagnosis" not in found
    for name, least in (("file format", 0.6), ("EXIF camera", 0.6), ("column camera", 1.0), ("column exposure", 1.0)):
        assert found[name].recording and balanced(shortcuts.predict(found[name], LABELS, FOLD)) >= least
    assert not found["blur"].recording


def test_a_property_is_judged_only_on_folds_that_it_was_not_fitted_on() -> None:
    """One word per fold and label tells everything inside a fold and nothing outside."""
    words = [f"{f}-{c}" for f, c in zip(FOLD, LABELS, strict=True)]
    (camera,) = (p for p in shortcuts.properties(measures(), ORIGINS, {"camera": words}) if p.name == "column camera")
    assert balanced(shortcuts.predict(camera, LABELS, FOLD)) < 0.4


def test_an_effect_must_be_above_chance_and_large_enough_to_matter() -> None:
    assert shortcuts.tells(0.60, 0.50, 1 / 3)
    assert not shortcuts.tells(0.38, 0.35, 1 / 3)  # certain, and too small
    assert not shortcuts.tells(0.60, 0.30, 1 / 3)  # large, and uncertain


def test_words_are_found_inside_the_name_of_a_column() -> None:
    assert shortcuts.of_recording("camera_id") and shortcuts.of_recording("Exposure")
    assert not shortcuts.of_recording("defect_area") and not shortcuts.of_recording("labels_in_xml")
