"""The taxonomy is one tree, every code has its source, and every label of the public sets finds its place."""

import re
from pathlib import Path

import pandas as pd
import pytest

from shared.errors import DataError
from verticals.agriculture.taxonomy import terms
from verticals.agriculture.taxonomy.terms import Kind


def test_every_condition_has_a_family_an_agent_and_a_scale_and_its_agent_fits_the_family() -> None:
    kinds = {"fungal": "fungus", "oomycete": "oomycete", "bacterial": "bacterium", "viral": "virus", "weed": "weed"}
    conditions = [t for t in terms.terms().values() if t.kind is Kind.CONDITION]
    assert len(conditions) > 50
    for term in conditions:
        assert term.agent and term.scale and term.organ and term.sought and term.source, term.code
        assert terms.terms()[term.family].kind is Kind.FAMILY
        assert term.agent.kind == kinds.get(term.family, "mite"), term.code
        assert (term.crop is None) == (term.family == "weed"), "a disease is one of a crop, a weed is not"


def test_families_and_groups_are_as_grave_as_the_gravest_below_them() -> None:
    every = terms.terms()
    for term in every.values():
        below = [every[m] for m in term.members] or [
            t for t in every.values() if t.family == term.code and t is not term and term.kind is Kind.FAMILY
        ]
        if below:
            assert term.severity == max(t.severity for t in below), term.code
            assert all(t.sought for t in below) == term.sought


def test_no_code_is_without_source_day_and_status_and_none_is_malformed() -> None:
    for crop in terms.crops().values():
        assert re.fullmatch(r"[A-Z]{5}", crop.eppo), crop
    for agent in terms.agents().values():
        letters = 5 if agent.kind == "weed" else 6
        assert re.fullmatch(rf"[A-Z0-9]{{{letters}}}|", agent.eppo), agent
        assert bool(agent.eppo) == bool(agent.eppo_status)
    for row in [*terms.crops().values(), *terms.agents().values()]:
        assert row.eppo_status in ("read", "unconfirmed", "") and row.source and row.checked_on
        assert (row.eppo_status == "unconfirmed") == ("confirm at gd.eppo.int" in row.source)
    for term in terms.terms().values():
        claimed = terms.labels().resolve(term.code).codes.get("EPPO", "")
        assert claimed == (term.agent.eppo if term.agent else ""), term.code


def test_healthy_unknown_abiotic_and_no_leaf_are_entries_of_their_own() -> None:
    four = [terms.resolve(w) for w in (terms.HEALTHY, terms.UNKNOWN, terms.ABIOTIC, terms.NOT_A_LEAF)]
    assert len({t.code for t in four}) == 4
    assert [label.code for label in terms.labels().labels if label.ok] == ["healthy"]
    assert [t.sought for t in four] == [False, True, False, False], "what nobody has named must not pass"


@pytest.mark.parametrize("name, count", [("PlantVillage", 38), ("PlantDoc", 28), ("DeepWeeds", 9)])
def test_every_label_of_a_public_set_resolves_as_it_is_published(name: str, count: int) -> None:
    rows = terms.outside_sets()[name]
    assert len(rows) == count
    for label, row in rows.items():
        assert terms.resolve(label).code == row.code, "a build finds it without the table"
        assert row.source and row.checked_on and bool(row.note) >= row.lossy
        crop = terms.resolve(row.code).crop
        assert not row.crop or crop is None or crop.eppo == row.crop, label


def test_a_word_that_does_not_say_its_crop_goes_to_a_group_that_holds_the_condition() -> None:
    for label, row in terms.outside_sets()["PlantVillage apple"].items():
        word = terms.resolve(label)
        assert word.code == row.code or row.code in word.members
    assert terms.resolve("black_rot").kind is Kind.GROUP


@pytest.mark.parametrize("name", ["bean_leaf", "rice_leaf", "plantvillage_apple", "deepweeds"])
def test_the_real_tables_hold_no_word_that_is_unknown(name: str, real_data: Path) -> None:
    words = set(pd.read_csv(real_data / "agriculture" / name / "labels.csv").label)
    assert words and {terms.resolve(word).code for word in words}
    assert terms.labels().unsought(words) == tuple(w for w in words if w in ("healthy", "negative"))


def test_an_unknown_word_is_refused_with_the_closest() -> None:
    with pytest.raises(DataError, match="did you mean 'potato late blight'"):
        terms.resolve("potato late bligt")
