import csv
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest

from shared import taxonomy as core
from shared.errors import DataError
from verticals.medical import taxonomy
from verticals.medical.taxonomy import Kind, Malignancy, leaves, nodes, outside_sets, resolve

FAMILY_SIZES = {
    "F-MELANOCYTIC": 13, "F-KERATINOCYTIC": 8, "F-OTHER-MALIG": 6, "F-EPIDERMAL": 18, "F-SOFT-TISSUE": 13,
    "F-ECZEMA": 10, "F-PAPULOSQUAM": 9, "F-INFECTION": 18, "F-ACUTE": 11, "F-CONNECTIVE": 9, "F-ACNEIFORM": 6,
    "F-PIGMENT-HAIR": 7,
}  # fmt: skip
SET_SIZES = {
    "HAM10000": 7, "ISIC 2019": 9, "PAD-UFES-20": 6, "ISIC 7 classes": 7, "DermNet 23": 23, "Fitzpatrick17k": 114,
    "SD-198": 198,
}  # fmt: skip


def below(code: str) -> list[taxonomy.Node]:
    """The leaves under a node, by the parents of ``labels.toml``."""
    parent = {label.code: label.parent for label in taxonomy.labels().labels}

    def above(at: str) -> set[str]:
        return {at} | (above(parent[at]) if parent[at] else set())

    return [leaf for leaf in leaves() if code in above(leaf.code)]


def test_there_are_128_leaves_each_in_exactly_one_family() -> None:
    assert Counter(leaf.family for leaf in leaves()) == FAMILY_SIZES
    assert len(leaves()) == len({leaf.code for leaf in leaves()}) == 128
    assert all(nodes()[leaf.family].kind is Kind.FAMILY for leaf in leaves())


def test_the_tiers_are_those_of_the_reference_list() -> None:
    """Counted by hand in the list of section 4: malignancy and urgency of all leaves."""
    assert Counter(str(leaf.malignancy) for leaf in leaves()) == {"M": 11, "P": 9, "B": 38, "N": 70}
    spot = {"MEL": "M1", "BCC": "M2", "CUT-HORN": "P2", "POROKERATOSIS": "P3", "LICHEN-SCLER": "P2", "NEVUS": "B4"}
    spot |= {"SJS-TEN": "N0", "CELLULITIS": "N0", "ERYTHRODERMA": "N0", "ZOSTER": "N1", "ULCER-VENOUS": "N2"}
    assert {code: f"{nodes()[code].malignancy}{nodes()[code].urgency}" for code in spot} == spot


def test_every_node_above_the_leaves_is_as_grave_as_its_gravest_leaf() -> None:
    for node in nodes().values():
        if node.kind in (Kind.GROUP, Kind.FAMILY):
            mine = below(node.code)
        elif node.kind is Kind.TIER:
            mine = [leaf for leaf in leaves() if leaf.malignancy is node.malignancy]
        else:
            continue
        graver = list(Malignancy)
        assert mine and node.urgency == min(leaf.urgency for leaf in mine), node.code
        kinds = {leaf.malignancy for leaf in mine}
        assert node.sought == any(leaf.sought for leaf in mine), node.code
        if node.sought:
            assert node.malignancy == min(kinds, key=graver.index), node.code


def test_the_core_is_told_to_find_exactly_what_is_malignant_or_pre_malignant() -> None:
    words = [label.code for label in taxonomy.labels().labels]
    unsought = set(taxonomy.labels().unsought(words))
    assert {code for code in words if code not in unsought} == {n.code for n in nodes().values() if n.sought}
    assert {"MEL", "BCC", "AK", "AKIEC", "UNKNOWN"}.isdisjoint(unsought) and {"NEVUS", "BKL", "VASC"} <= unsought
    assert taxonomy.labels().ok is None


def test_no_tier_is_signed_and_every_one_says_so() -> None:
    assert all(not n.reviewed_by and not n.reviewed_on for n in nodes().values())
    assert {n.tier_status for n in nodes().values()} == {"proposed, needs a dermatologist's sign-off"}


def test_every_outside_code_has_a_source_and_codes_fit_a_dicom_code_value() -> None:
    for node in nodes().values():
        assert len(node.code) <= 16
        assert set(node.codes) <= {"ICD-10", "ICD-11", "SCT", "ISIC"} and all(node.codes.values())
        assert all(system in node.source for system in node.codes), node.code
        assert bool(node.codes) == bool(node.source), node.code
    assert sum("ICD-10" in leaf.codes for leaf in leaves()) == 97


def test_every_snomed_code_ships_with_pydicom_and_means_the_same() -> None:
    concepts = pytest.importorskip("pydicom.sr._concepts_dict").concepts["SCT"]
    meaning = {code: text for by_code in concepts.values() for code, (text, _) in by_code.items()}
    mine = {n.code: meaning[n.codes["SCT"]].lower() for n in nodes().values() if "SCT" in n.codes}
    assert len(mine) == 13
    narrower = {"HEMANGIOMA-INF", "PSORIASIS", "LUPUS", "CYST-EPIDERM"}
    for code, text in mine.items():
        broad = f"broader: {text}" in nodes()[code].source
        words = set(nodes()[code].name.lower().split())
        assert words & set(text.split()) or broad or code in narrower, (code, text)


def test_every_isic_path_is_in_the_package_of_the_archive() -> None:
    module = pytest.importorskip("isic_metadata.diagnosis_hierarchical")
    paths = {entry.value for entry in module.DiagnosisEnum}
    mine = {n.code: n.codes["ISIC"] for n in nodes().values() if "ISIC" in n.codes}
    assert set(mine.values()) <= paths and len(mine) == 54
    for code, path in mine.items():
        # The archive calls nothing benign that we call malignant, nor the other way round.
        assert not (path.startswith("Benign") and nodes()[code].malignancy is Malignancy.MALIGNANT), code
        assert not (path.startswith("Malignant") and not nodes()[code].sought), code


def test_the_names_of_the_public_sets_are_complete() -> None:
    assert {name: len(words) for name, words in outside_sets().items()} == SET_SIZES


def test_a_mapped_outside_label_is_one_leaf_or_something_above_leaves() -> None:
    for name, words in outside_sets().items():
        for word, node in words.items():
            assert node is None or node.kind in (Kind.LEAF, Kind.GROUP, Kind.FAMILY, Kind.UNKNOWN), (name, word)
    mapped = {name: sum(node is not None for node in words.values()) for name, words in outside_sets().items()}
    assert mapped == {
        "HAM10000": 7, "ISIC 2019": 9, "PAD-UFES-20": 6, "ISIC 7 classes": 7, "DermNet 23": 21, "Fitzpatrick17k": 81,
        "SD-198": 125,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("word", "code"),
    [
        ("akiec", "AKIEC"), ("nv", "NEVUS"), ("bkl", "BKL"), ("vasc", "VASC"), ("mel", "MEL"), ("UNK", "UNKNOWN"),
        ("ACK", "AK"), ("SEK", "SK"), ("pigmented_benign_keratosis", "BKL"), ("squamous_cell_carcinoma", "SCC"),
        ("granuloma pyogenic", "PYOGENIC-GRAN"), ("Mucha Habermann Disease", "PIT-LICHENOID"),
        ("Melanoma Skin Cancer Nevi and Moles", "F-MELANOCYTIC"), ("lentigo maligna", "MELANOMA-IS"),
        ("Lentigo Maligna Melanoma", "MEL"), ("malignant", "MALIGNANT"),
    ],
)  # fmt: skip
def test_words_of_public_sets_find_their_disease(word: str, code: str) -> None:
    assert resolve(word).code == code


def test_an_unknown_word_names_the_closest() -> None:
    with pytest.raises(DataError, match="did you mean 'melanoma'"):
        resolve("melanomma")
    assert taxonomy.find("toe deformity") is None


@pytest.mark.parametrize("name", ["ham10000", "isic_7class"])
def test_every_label_of_the_real_sets_is_known(real_data: Path, name: str) -> None:
    words = pd.read_csv(real_data / "medical" / name / "labels.csv")["label"].unique()
    assert len(words) == 7 and all(taxonomy.find(word) for word in words)


def test_no_fitzpatrick_partition_contradicts_the_list() -> None:
    """A reader of the data set's own three partitions must not be told less: malignant there is sought here."""
    malignant = (
        "actinic keratosis", "basal cell carcinoma", "basal cell carcinoma morpheiform", "kaposi sarcoma",
        "lentigo maligna", "malignant melanoma", "melanoma", "mycosis fungoides", "solid cystic basal cell carcinoma",
        "squamous cell carcinoma", "superficial spreading melanoma ssm",
    )  # fmt: skip
    assert all(outside_sets()["Fitzpatrick17k"][word].sought for word in malignant)  # type: ignore[union-attr]


def broken(tmp_path: Path, old: str, new: str) -> Path:
    text = taxonomy.LABELS.read_text(encoding="utf-8")
    assert old in text
    path = tmp_path / "labels.toml"
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('parent = "AKIEC"', 'parent = "AKIEK"', "is no entry above it"),
        ('parent = "F-KERATINOCYTIC"', 'parent = "MALIGNANT"', "which is no family"),
        ('malignancy = "M"', 'malignancy = "X"', "has no usable kind or malignancy"),
    ],
)
def test_a_broken_tree_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, old: str, new: str, said: str
) -> None:
    path = broken(tmp_path, old, new)
    loaded = core.load(path)
    monkeypatch.setattr(taxonomy, "labels", lambda: loaded)
    with pytest.raises(DataError, match=said):
        taxonomy.nodes.__wrapped__()


def test_a_word_that_names_two_diseases_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="names both"):
        core.load(broken(tmp_path, '"melanoma",', '"lentigo maligna",'))


def test_the_outside_names_lie_in_a_plain_table() -> None:
    with taxonomy.OUTSIDE.open(encoding="utf-8", newline="") as stream:
        assert next(csv.reader(stream)) == ["set", "label"]
