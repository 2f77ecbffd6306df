"""Spray, scout, pass or NOT EXAMINED, as the policy says and no other way."""

from dataclasses import replace
from pathlib import Path

import pytest

from shared.errors import ConfigError, Problem
from shared.records import Box, Decision, Sample, Verdict
from shared.vertical import Case, Seen
from verticals.agriculture.decide import Treatment, decide, treatment

TILE = Sample(
    "a@0,0,96,96", "a.png", 96, 96, Box(0, 0, 96, 96), Box(16, 16, 80, 80), "home/r0001c0002",
    mm_per_px=(30.0, 30.0), provenance={"field_m2": 3.5},
)  # fmt: skip
UNSOUGHT = ("healthy", "bare_soil", "abiotic", "not_a_leaf")
LABELS = (*UNSOUGHT, "potato_late_blight", "tomato_mosaic", "cedar_apple_rust")


def case(examined: float = 1.0, novelty: float = 0.5, sample: Sample = TILE, **probabilities: float) -> Case:
    rest = (1 - sum(probabilities.values())) / (len(LABELS) - len(probabilities))
    spread = {label: probabilities.get(label, rest) for label in LABELS}
    why = (Problem("home/r0001c0002", "0.0002 ha of the field were not flown"),)
    return Case(sample.frame, (Seen(sample, spread, novelty),), examined, why, "healthy", 0.2, UNSOUGHT)


def test_a_certain_blight_is_sprayed_and_says_on_what_ground_and_area() -> None:
    made = decide(case(potato_late_blight=0.9), None)
    assert made.verdict is Verdict.FLAG and treatment(made) is Treatment.SPRAY
    assert made.reasons[0].startswith("spray: potato late blight with probability 0.90")
    assert made.findings[0].label == "potato_late_blight"
    assert made.findings[0].area_mm2 == 3.5e6, "the field in the tile and not the whole tile"


@pytest.mark.parametrize(
    ("seen", "because"),
    [
        (case(tomato_mosaic=0.9), "no spray of this site reaches (virus)"),
        (case(potato_late_blight=0.3, healthy=0.65), "sprayed from 0.5"),
        (case(abiotic=0.9), "abiotic stress with probability 0.90"),
    ],
)
def test_what_a_spray_would_not_help_or_nobody_is_sure_of_is_walked(seen: Case, because: str) -> None:
    made = decide(seen, None)
    assert made.verdict is Verdict.FLAG and treatment(made) is Treatment.SCOUT and because in made.reasons[0]


def test_healthy_and_wholly_examined_passes_and_anything_less_does_not() -> None:
    assert decide(case(healthy=0.95), None).verdict is Verdict.PASS
    partly = decide(case(healthy=0.95, examined=0.9), None)
    assert partly.verdict is Verdict.NOT_EXAMINED and treatment(partly) is Treatment.SCOUT
    assert "10.0% of it is not examined (0.0002 ha of the field were not flown)" in partly.reasons[0]
    nothing = decide(replace(case(), seen=(), examined=0.0), None)
    assert nothing.verdict is Verdict.NOT_EXAMINED and nothing.examined == 0
    assert decide(case(not_a_leaf=0.9), None).verdict is Verdict.NOT_EXAMINED


@pytest.mark.parametrize("novelty", [3.0, float("nan")])
def test_what_is_unlike_the_build_is_not_examined_whatever_the_bundle_says_of_it(
    novelty: float, tmp_path: Path
) -> None:
    for seen in (case(healthy=0.95, novelty=novelty), case(potato_late_blight=0.95, novelty=novelty)):
        made = decide(seen, None)
        assert made.verdict is Verdict.NOT_EXAMINED and made.examined == 0 and treatment(made) is Treatment.SCOUT
        assert "not examined: unlike the images of the build" in made.reasons[0]
        assert [f.label for f in made.findings] == ["unknown"] and made.findings[0].area_mm2 == 3.5e6
    known, strange = case(potato_late_blight=0.9), case(sample=replace(TILE, id="b"), novelty=novelty, healthy=0.9)
    both = decide(replace(known, seen=(*known.seen, *strange.seen)), None)
    assert both.verdict is Verdict.FLAG and both.examined == 0.5
    assert [f.label for f in both.findings] == ["potato_late_blight", "unknown"]


def test_a_tile_is_as_known_as_its_ground_on_a_map_and_a_photograph_as_the_site_says() -> None:
    tile = replace(case(healthy=0.95, novelty=1.3), novelty_limit=1.2)
    made = decide(tile, None)
    assert made.verdict is Verdict.NOT_EXAMINED and "novelty 1.30, limit 1.2" in made.reasons[0]
    assert decide(replace(tile, novelty_limit=1.4), None).verdict is Verdict.PASS
    assert decide(replace(case(healthy=0.95, novelty=1.6), novelty_limit=2.0), None).verdict is Verdict.NOT_EXAMINED
    leaf = case(healthy=0.95, novelty=1.3, sample=replace(TILE, provenance={}))
    assert decide(replace(leaf, novelty_limit=1.2), None).verdict is Verdict.PASS


def test_without_a_certificate_for_what_is_sought_nothing_passes() -> None:
    sound = case(healthy=0.99)
    assert decide(replace(sound, threshold=None), None).verdict is Verdict.FLAG
    wrong = decide(replace(sound, unsought=("healthy",)), None)
    assert wrong.verdict is Verdict.FLAG and "certificate is about other labels" in wrong.reasons[0]
    broken = decide(case(healthy=float("nan")), None)
    assert broken.verdict is not Verdict.PASS


def test_a_site_decides_what_is_grave_and_what_becomes_of_the_unseen(tmp_path: Path) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text('min_severity = 3\nnot_examined = "spray"\nthreshold = 0.9\n')
    rust = decide(case(cedar_apple_rust=0.9), policy)
    assert treatment(rust) is Treatment.SCOUT and "severity 2 of 4, sprayed from 3" in rust.reasons[0]
    unseen = decide(case(healthy=0.99, examined=0.5), policy)
    assert unseen.verdict is Verdict.NOT_EXAMINED and treatment(unseen) is Treatment.SPRAY
    assert decide(case(potato_late_blight=0.4, healthy=0.5), policy).verdict is Verdict.FLAG, "no higher than certified"
    policy.write_text('not_examined = "ignore"\n')
    with pytest.raises(ConfigError, match="allowed are spray, scout, leave"):
        decide(case(), policy)


def test_of_a_drones_frame_every_place_is_named_where_it_lies() -> None:
    right = replace(TILE, id="b", origin=(64, 0), frame="f")
    left, sick = (
        case(sample=s, **p).seen[0]
        for s, p in ((replace(TILE, frame="f"), {"healthy": 0.95}), (right, {"potato_late_blight": 0.9}))
    )
    made: Decision = decide(replace(case(), frame="f", seen=(left, sick)), None)
    assert [f.region for f in made.findings] == [Box(80, 16, 144, 80)]
