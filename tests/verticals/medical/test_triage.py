import pytest
from hypothesis import given
from hypothesis import strategies as st

from verticals.medical import taxonomy, triage
from verticals.medical.taxonomy import Malignancy, leaves, nodes
from verticals.medical.triage import roll_up

HAM = ("akiec", "bcc", "bkl", "df", "mel", "nv", "vasc")
ISIC = (
    "actinic_keratosis", "basal_cell_carcinoma", "dermatofibroma", "melanoma", "pigmented_benign_keratosis",
    "squamous_cell_carcinoma", "vascular_lesion",
)  # fmt: skip
MIXED = ("MEL", "F-ECZEMA", "bkl", "malignant", "benign", "UNK", "scabies", "a word nobody knows")
ALL = tuple(leaf.code for leaf in leaves())


@pytest.mark.parametrize("words", [HAM, ISIC, MIXED, ALL], ids=["HAM10000", "ISIC", "mixture", "128 leaves"])
@given(data=st.data())
def test_masses_add_up_in_every_direction(words: tuple[str, ...], data: st.DataObject) -> None:
    weights = data.draw(st.lists(st.integers(1, 1000), min_size=len(words), max_size=len(words)))
    rolled = roll_up({word: weight / sum(weights) for word, weight in zip(words, weights, strict=True)})
    for masses in (rolled.labels.values(), rolled.families.values(), rolled.malignancy.values(), rolled.urgency):
        assert sum(masses) == pytest.approx(1, abs=1e-9)
    grave = rolled.malignancy[Malignancy.MALIGNANT] + rolled.malignancy[Malignancy.PREMALIGNANT]
    assert rolled.risk == pytest.approx(grave, abs=1e-12)


def test_the_seven_labels_of_ham10000_go_where_a_dermatologist_expects() -> None:
    rolled = roll_up(dict(zip(HAM, (0.05, 0.1, 0.15, 0.02, 0.2, 0.4, 0.08), strict=True)))
    assert rolled.risk == pytest.approx(0.05 + 0.1 + 0.2)
    assert rolled.malignancy[Malignancy.MALIGNANT] == pytest.approx(0.3)
    assert rolled.families == pytest.approx(
        {"F-MELANOCYTIC": 0.6, "F-KERATINOCYTIC": 0.15, "F-SOFT-TISSUE": 0.1, "F-EPIDERMAL": 0.15}
    )
    # Urgency: mel 1; bcc, akiec and vasc (it may be a pyogenic granuloma) 2; nv, bkl, df 4.
    assert rolled.urgency == pytest.approx((0, 0.2, 0.05 + 0.1 + 0.08, 0, 0.4 + 0.15 + 0.02))
    assert triage.likeliest(rolled).code == "NEVUS" and triage.likeliest_family(rolled) == "F-MELANOCYTIC"
    sought = triage.likeliest_sought(rolled)
    assert sought is not None and sought.code == "MEL"


def test_words_for_the_same_disease_add_up() -> None:
    rolled = roll_up({"nevus-blue": 0.2, "Blue Nevus": 0.3, "melanoma": 0.25, "nodular melanoma": 0.25})
    assert rolled.labels == pytest.approx({"MEL": 0.5, "NEVUS-BLUE": 0.5})


def test_a_group_or_family_counts_as_the_gravest_it_may_hold() -> None:
    rolled = roll_up({"F-MELANOCYTIC": 0.6, "F-ACUTE": 0.4})
    assert rolled.risk == pytest.approx(0.6) and rolled.urgency == pytest.approx((0.4, 0.6, 0, 0, 0))


def test_a_word_that_nobody_knows_is_never_taken_for_harmless() -> None:
    rolled = roll_up({"toe deformity": 0.7, "nevus": 0.3})
    assert rolled.labels == {"UNKNOWN": 0.7, "NEVUS": 0.3} and rolled.risk == 0.7


def test_ties_go_to_the_graver() -> None:
    rolled = roll_up({"nv": 0.5, "mel": 0.5})
    assert triage.likeliest(rolled).code == "MEL"
    assert triage.likeliest_malignancy(rolled) is Malignancy.MALIGNANT and triage.likeliest_urgency(rolled) == 1
    # A difference of float32 is a tie, a real one is not.
    assert triage.likeliest(roll_up({"nv": 0.5 + 4e-7, "mel": 0.5 - 4e-7})).code == "MEL"
    assert triage.likeliest(roll_up({"nv": 0.501, "mel": 0.499})).code == "NEVUS"
    assert triage.likeliest(roll_up({"cellulitis": 0.5, "melanoma": 0.5})).code == "CELLULITIS"
    assert triage.likeliest(roll_up({"erythema multiforme": 0.5, "melanoma": 0.5})).code == "MEL"
    assert triage.likeliest_family(roll_up({"eczema": 0.5, "benign": 0.5})) == ""


def test_without_anything_to_find_nothing_is_named() -> None:
    assert triage.likeliest_sought(roll_up({"nv": 0.5, "bkl": 0.5})) is None


def test_gravity_is_urgency_first_then_malignancy() -> None:
    found = triage.gravest(nodes()[code] for code in ("NEVUS", "BCC", "IMPETIGO", "HEMANGIOMA-INF"))
    assert found.code == "BCC"
    assert triage.gravest(map(taxonomy.resolve, ("BCC", "ZOSTER"))).code == "ZOSTER"


def test_the_disclaimer_holds_the_sentence_of_the_model_card() -> None:
    assert "Decision support for qualified clinicians. Not a diagnosis." in triage.DISCLAIMER
