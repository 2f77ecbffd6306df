import hashlib
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from shared.data import images
from shared.vertical import Ingested
from verticals.medical.dicom.dicom_read import read
from verticals.medical.drawing import skin_optics, structures
from verticals.medical.drawing.lesions import DRAW
from verticals.medical.ingest import ingest
from verticals.medical.synth import FORMS, photograph, synth

pytest.importorskip("pydicom")


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return synth(tmp_path_factory.mktemp("drawn"), seed=3, small=True, lesions=14)


@pytest.fixture(scope="module")
def table(drawn: Path) -> pd.DataFrame:
    return pd.read_csv(drawn / "labels.csv")


@pytest.fixture(scope="module")
def done(drawn: Path, tmp_path_factory: pytest.TempPathFactory) -> Ingested:
    return ingest(drawn, tmp_path_factory.mktemp("ingested"))


def test_all_seven_families_several_patients_and_visits_in_every_form(table: pd.DataFrame) -> None:
    assert table.groupby("label").lesion.nunique().to_dict() == dict.fromkeys(DRAW, 2)
    assert table.patient.nunique() == 5 and (table.groupby("lesion").visit.max() > 1).any()
    assert set(table.form) == set(FORMS), "RGB raw, RLE, JPEG-LS, JPEG 2000, JPEG and palette are among them"
    assert table.groupby("lesion").patient.nunique().max() == 1


def test_the_ingest_reads_every_drawn_object_with_label_patient_lesion_and_place(
    done: Ingested, table: pd.DataFrame
) -> None:
    assert done.problems == () and dict(done.skipped) == {}
    assert len(done.samples) == len(table) == len(done.labels) == len(done.truth)
    assert done.summary["patients"] == table.patient.nunique() and done.summary["lesions"] == table.lesion.nunique()
    assert done.summary["synthetic"] is True and all(s.provenance["synthetic"] for s in done.samples)
    assert all(t.region is not None and t.area_mm2 and t.length_mm for t in done.truth)
    assert {t.label for t in done.truth if t.risk > 0} == {"MEL", "BCC", "AKIEC"}


def test_dciodvfy_finds_no_error_in_any_drawn_object(drawn: Path) -> None:
    if shutil.which("dciodvfy") is None:
        pytest.skip("dciodvfy (dicom3tools) is not installed")
    for path in drawn.rglob("*.dcm"):
        done = subprocess.run(["dciodvfy", str(path)], capture_output=True, text=True)
        assert "Error" not in done.stderr + done.stdout, done.stderr


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(tmp_path: Path) -> None:
    def hashes(folder: Path) -> dict[str, str]:
        files = sorted(p for p in folder.rglob("*") if p.is_file())
        return {p.relative_to(folder).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}

    first, again, other = (
        hashes(synth(tmp_path / name, seed=seed, small=True, lesions=4))
        for name, seed in (("a", 3), ("b", 3), ("c", 4))
    )
    assert first == again
    assert not set(first.values()) & set(other.values())


def test_the_mask_is_where_the_picture_changes(drawn: Path) -> None:
    differences = []
    for path in drawn.rglob("*.dcm"):
        mask = images.read(path.with_name(path.name.replace(".dcm", ".mask.png")))[..., 0] > 0
        picture = read(path).frames[0].astype(float)
        assert mask.shape == picture.shape[:2] and 0.02 < mask.mean() < 0.8
        differences.append(np.abs(picture[mask].mean(0) - picture[~mask].mean(0)).max())
    assert np.median(differences) > 15 and min(differences) > 2


def test_darker_skin_types_are_darker(tmp_path: Path) -> None:
    empty = skin_optics.empty(32)
    light = [float(skin_optics.seen(empty, tone).mean()) for tone in skin_optics.TONES]
    assert light == sorted(light, reverse=True) and light[0] > 2 * light[-1]


@pytest.mark.parametrize("label", DRAW)
def test_a_lesion_drawn_twice_is_the_same_and_its_mask_is_one_piece(label: str) -> None:
    a, b = (DRAW[label](np.random.default_rng(5), 96, 9.6) for _ in range(2))
    np.testing.assert_array_equal(skin_optics.seen(a, "III"), skin_optics.seen(b, "III"))
    picture, mask = photograph(np.random.default_rng(1), a, "III", growth=1.0)
    assert picture.shape == (96, 96, 3) and picture.dtype == np.uint8
    assert set(np.unique(mask)) == {0, 255}


def test_a_grown_lesion_has_a_larger_mask() -> None:
    layers = DRAW["mel"](np.random.default_rng(0), 160, 16.0)
    small, large = (photograph(np.random.default_rng(1), layers, "II", growth=g)[1].mean() for g in (1.0, 1.25))
    assert large == pytest.approx(small * 1.25**2, rel=0.1)


def test_a_regular_network_has_even_holes_and_an_atypical_one_has_not() -> None:
    def spread(irregular: float) -> float:
        from scipy import ndimage

        lines = structures.network(np.random.default_rng(2), 200, 14.0, irregular=irregular, line_px=2.0)
        holes, count = ndimage.label(lines < 0.5)
        sizes = np.bincount(holes.ravel())[1:]
        assert count > 50
        return float(sizes.std() / sizes.mean())

    assert spread(0.9) > 1.5 * spread(0.05)
