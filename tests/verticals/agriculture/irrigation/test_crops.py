"""The crop tables against their transcription in pyfao56, and what is said about an edition that is missing."""

import pytest

from shared.errors import DataError
from verticals.agriculture.irrigation import crops


def test_every_crop_says_what_pyfao56_transcribed_from_the_book() -> None:
    book = pytest.importorskip("pyfao56.tools.tables").FAO56Tables()
    for name in crops.names():
        crop = crops.crop(name)
        stages, single, basal, roots = crop.rows
        row = book.table12[book.table12.Crop == single].iloc[0]
        assert crop.kc == tuple(map(float, row[["Kcmini", "Kcmmid", "Kcmend"]])), name
        assert crop.height_m == float(row["hmax"]), name
        row = book.table17[book.table17.Crop == basal].iloc[0]
        assert crop.kcb == tuple(map(float, row[["Kcbini", "Kcbmid", "Kcbend"]])), name
        row = book.table22[book.table22.Crop == roots].iloc[0]
        assert (*crop.root_m, crop.p) == tuple(map(float, row[["Zrmax1", "Zrmax2", "pbase"]])), name
        rows = book.table11[book.table11.Crop == stages][["Lini", "Ldev", "Lmid", "Llate"]]
        assert [length.days for length in crop.lengths] == [tuple(map(int, r)) for r in rows.to_numpy()], name
        assert crop.lengths, name
    assert len(crops.names()) >= 20


def test_cotton_of_1998_as_printed_with_its_source() -> None:
    cotton = crops.crop("cotton")
    assert (cotton.edition, cotton.kc, cotton.p) == (1998, (0.35, 1.17, 0.60), 0.65)
    assert crops.source()["year"] == 1998
    assert "CC0" in crops.source()["transcribed_in"]


def test_the_edition_of_2025_is_said_to_be_missing_not_filled_with_that_of_1998() -> None:
    with pytest.raises(DataError, match="coefficients of 2025 are missing"):
        crops.crop("cotton", edition=2025)
    with pytest.raises(DataError, match=r"no crop 'hemp'.*cotton"):
        crops.crop("hemp")


def test_the_coefficient_is_flat_then_rises_then_is_flat_then_falls() -> None:
    curve = [crops.coefficient((0.3, 1.2, 0.6), (10, 20, 30, 10), day) for day in (0, 10, 20, 30, 60, 65, 70, 200)]
    assert curve == pytest.approx([0.3, 0.3, 0.75, 1.2, 1.2, 0.9, 0.6, 0.6])


def test_dry_wind_raises_a_coefficient_as_in_equation_62_and_never_a_small_one() -> None:
    raised = crops.for_climate(kc=1.2, wind_2m_m_s=4.0, rhmin_pct=25, height_m=2.0)
    assert raised == pytest.approx(1.2 + (0.08 + 0.08) * (2 / 3) ** 0.3)
    assert crops.for_climate(kc=0.35, wind_2m_m_s=6, rhmin_pct=20, height_m=2) == 0.35
