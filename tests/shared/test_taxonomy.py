import pytest

from shared.errors import DataError
from shared.taxonomy import Label, Taxonomy, guess_ok

SCRATCH = Label("SCR", "scratch", aliases=("scratches", "rolled-in_scratch"))
GOOD = Label("OK", "no defect", ok=True)


def test_labels_are_found_by_code_name_or_alias_in_any_spelling() -> None:
    taxonomy = Taxonomy("1", (SCRATCH, GOOD))
    for word in ("scr", "Scratch", "SCRATCHES", "rolled in scratch", "rolled-in-scratch"):
        assert taxonomy.resolve(word) is SCRATCH
    assert taxonomy.ok is GOOD


def test_an_unknown_label_names_the_closest() -> None:
    with pytest.raises(DataError, match=r"'scrach' is unknown; did you mean 'scratch'\?"):
        Taxonomy("1", (SCRATCH, GOOD)).resolve("scrach")


def test_two_entries_cannot_share_a_word() -> None:
    with pytest.raises(DataError, match="names both"):
        Taxonomy("1", (SCRATCH, Label("DEN", "dent", aliases=("Scratches",))))


def test_severity_has_a_range() -> None:
    with pytest.raises(DataError, match="allowed is 0 to 4"):
        Taxonomy("1", (Label("X", "x", severity=5),))


def test_the_word_for_nothing_wrong_is_guessed_only_from_known_words() -> None:
    assert guess_ok(["crack", "Free"]) == "Free"
    assert guess_ok(["bean_rust", "healthy"]) == "healthy"
    assert guess_ok(["crack", "scratch"]) is None


def test_ok_and_what_the_vertical_marks_so_need_not_be_found() -> None:
    nevus = Label("NV", "nevus", sought=False, facts={"malignancy": "B"})
    taxonomy = Taxonomy("1", (SCRATCH, GOOD, nevus))
    assert taxonomy.unsought(["scratches", "no defect", "Nevus"]) == ("no defect", "Nevus")
    with pytest.raises(DataError, match="'mole' is unknown"):
        taxonomy.unsought(["mole"])
