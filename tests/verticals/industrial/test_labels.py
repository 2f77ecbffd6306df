from pathlib import Path

import pandas as pd
import pytest

from shared import taxonomy
from verticals.industrial import VERTICAL
from verticals.industrial.defects import DRAW
from verticals.industrial.truth import defect_codes

LABELS = taxonomy.load(VERTICAL.folder / "labels.toml")
CODES = (
    *("SCR", "SCO", "CRK", "CRZ", "DEN", "POR", "SHR", "CHP", "PIT", "BUR", "BLI", "WRN"),
    *("INC", "DEP", "CRA", "LAP", "SCA", "COR", "STA", "DIS", "GRD", "FLW", "VOI"),
)


def test_the_23_types_stand_in_order_and_ok_and_unknown_follow() -> None:
    assert [label.code for label in LABELS.labels] == [*CODES, "OK", "UNKNOWN"]
    assert defect_codes(LABELS) == CODES


def test_the_drawn_types_have_the_order_of_the_labels() -> None:
    assert tuple(DRAW) == CODES


def test_every_type_has_a_family_a_severity_and_says_where_its_codes_were_read() -> None:
    for label in LABELS.labels[:23]:
        assert label.parent in ("recession", "raising", "combined", "area")
        assert 1 <= label.severity <= 4
        assert label.description and label.source
        assert set(label.codes) <= {"ISO 8785", "VDA 16", "ISO 6520-1"}


def test_clause_numbers_that_nobody_read_are_marked() -> None:
    read = {"CRZ", "DEN", "CRA", "COR", "DIS"}
    for label in LABELS.labels[:23]:
        if "ISO 8785" in label.codes:
            assert ("recalled, confirm against the standard" in label.source) == (label.code not in read), label.code


def test_ok_is_harmless_and_the_unknown_is_not() -> None:
    assert LABELS.ok is not None and LABELS.ok.code == "OK" and LABELS.ok.severity == 0
    assert LABELS.resolve("UNKNOWN").severity == 3 and not LABELS.resolve("UNKNOWN").ok


@pytest.mark.parametrize(
    ("word", "code"),
    [
        ("blowhole", "POR"),
        ("break", "CHP"),
        ("fray", "SCO"),
        ("uneven", "GRD"),
        ("free", "OK"),
        ("rolled-in_scale", "SCA"),
        ("Pitted Surface", "PIT"),
        ("patches", "STA"),
        ("waist_folding", "WRN"),
        ("8_yahen", "PIT"),
        ("missing parts", "VOI"),
        ("foreign objects", "DEP"),
        ("defect", "UNKNOWN"),
        ("pin-hole", "POR"),
        ("ok", "OK"),
    ],
)
def test_words_of_public_data_sets_find_their_type(word: str, code: str) -> None:
    assert LABELS.resolve(word).code == code


@pytest.mark.parametrize("name", ["magnetic_tile", "neu_surface", "deeppcb"])
def test_every_label_of_the_real_sets_is_known(real_data: Path, name: str) -> None:
    words = pd.read_csv(real_data / "industrial" / name / "labels.csv")["label"].unique()
    assert all(LABELS.find(word) for word in words)
