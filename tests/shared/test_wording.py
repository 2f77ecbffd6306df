import pytest

from shared.wording import counted, spoken


@pytest.mark.parametrize(("count", "said"), [(0, "0 groups"), (1, "1 group"), (2, "2 groups"), (1200, "1,200 groups")])
def test_one_is_one(count: int, said: str) -> None:
    assert counted(count, "group") == said


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("macro_f1", "macro f1"),
        ("treated_area_saved_at_95_recall", "treated area saved at 95 % recall"),
        ("flat_95_water", "flat 95 water"),
    ],
)
def test_a_share_in_a_key_has_its_unit(key: str, said: str) -> None:
    assert spoken(key) == said
