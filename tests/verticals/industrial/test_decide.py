"""From tiles to a decision, with class maps made by hand so that the truth is known to the pixel."""

from dataclasses import replace
from importlib import import_module
from pathlib import Path

import cv2
import numpy as np
import pytest

from shared.data.tiles import grid
from shared.decisions import Line
from shared.errors import ConfigError, Problem
from shared.records import Box, Sample, Verdict
from shared.review.items import items_of
from shared.review.texts import facts
from shared.vertical import Case, Seen
from verticals.industrial.decide import decide
from verticals.industrial.merge import max_feret_mm, merge

LABELS = ("OK", "SCR", "DEN")
SCALE = (0.05, 0.05)
CELL = 8


def look(
    mask: np.ndarray, *, tile: int = 96, halo: int = 16, label: str = "SCR", novelty: float = 0.5
) -> tuple[Seen, ...]:
    """A perfect model: each tile knows which of its cells hold the defect, and is sure where there is one."""
    seen = []
    for cell in grid(mask.shape[1], mask.shape[0], tile=tile, halo=halo):
        w = cell.window
        part = mask[w.y0 : w.y1, w.x0 : w.x1]
        cells = (
            cv2.resize(part.astype(np.float32), (w.width // CELL, w.height // CELL), interpolation=cv2.INTER_AREA) > 0
        )
        there = bool(cells.any())
        class_map = np.zeros((3, *cells.shape), np.float32)
        class_map[LABELS.index(label)] = np.where(cells, 9.0, 0.0)
        class_map[0] = 1.0
        sample = Sample(
            f"s@{w.x0},{w.y0},{w.width},{w.height}", "f.png", w.width, w.height, w, cell.core.shifted(-w.x0, -w.y0),
            "part 1", (w.x0, w.y0), "part 1", SCALE,
        )  # fmt: skip
        sure = {"OK": 0.02, "SCR": 0.02, "DEN": 0.02, label: 0.96} if there else {"OK": 0.98, "SCR": 0.01, "DEN": 0.01}
        seen.append(Seen(sample, sure, novelty, class_map))
    return tuple(seen)


def drawn(
    *, shape: tuple[int, int] = (512, 768), start: tuple[int, int], end: tuple[int, int], width: int = 3
) -> np.ndarray:
    return cv2.line(np.zeros(shape, np.uint8), start, end, 1, width) > 0


def found(seen: tuple[Seen, ...]) -> list:
    return merge(seen, ok_label="OK", threshold=0.5, novelty_limit=2.0)


@pytest.mark.parametrize(
    ("start", "end"),
    [((40, 50), (700, 50)), ((40, 40), (600, 400)), ((90, 30), (100, 480)), ((600, 60), (100, 420))],
    ids=["along", "diagonal", "down a tile border", "the other diagonal"],
)
def test_one_long_scratch_across_many_tiles_is_one_defect_with_its_length(
    start: tuple[int, int], end: tuple[int, int]
) -> None:
    (scratch,) = found(look(drawn(start=start, end=end)))
    true = float(np.hypot(end[0] - start[0], end[1] - start[1])) * SCALE[0]
    # A cell of 8 pixels on either end is what the map can tell.
    assert scratch.length_mm == pytest.approx(true, abs=3 * CELL * SCALE[0])
    assert scratch.label == "SCR" and len(scratch.samples) > 4 and scratch.risk == pytest.approx(0.98)


@pytest.mark.parametrize("shift", [0, 17, 48, 95])
def test_the_answer_does_not_depend_on_where_the_grid_lies(shift: int) -> None:
    mask = drawn(shape=(400, 400), start=(60 + shift, 80), end=(250 + shift, 200))
    (scratch,) = found(look(mask))
    assert scratch.region is not None
    assert abs(scratch.region.x0 - (60 + shift)) <= 2 * CELL and abs(scratch.region.y1 - 200) <= 2 * CELL
    assert scratch.length_mm == pytest.approx(float(np.hypot(190, 120)) * 0.05, abs=3 * CELL * 0.05)


def test_two_defects_apart_stay_two() -> None:
    mask = drawn(start=(40, 50), end=(200, 50)) | drawn(start=(400, 400), end=(600, 400))
    assert len(found(look(mask))) == 2


def test_a_clean_part_passes_and_says_on_what_ground() -> None:
    case = Case("part 1", look(np.zeros((300, 300), bool)), 1.0, (), "OK", 0.5)
    decision = decide(case, None)
    assert (
        decision.verdict is Verdict.PASS and "examined completely; highest risk 0.02, below 0.5" in decision.reasons[0]
    )


def test_a_clean_part_with_lost_lines_is_not_examined() -> None:
    lost = Problem("part 1", "lines 100 to 140 were lost")
    decision = decide(Case("part 1", look(np.zeros((300, 300), bool)), 0.9, (lost,), "OK", 0.5), None)
    assert (
        decision.verdict is Verdict.NOT_EXAMINED and "10.00% of it was not examined (lines 100" in decision.reasons[0]
    )


def test_a_part_that_passes_with_lost_lines_by_policy_never_says_that_it_was_examined_completely(
    tmp_path: Path,
) -> None:
    policy = tmp_path / "site.toml"
    policy.write_text("min_examined = 0.8\n")
    clean, lost = look(np.zeros((300, 300), bool)), Problem("part 1", "lines 100 to 140 were lost")
    decision = decide(Case("part 1", clean, 0.9, (lost,), "OK", 0.5), policy)
    assert decision.verdict is Verdict.PASS
    assert decision.reasons[0].startswith("10.00% of it was not examined (lines 100")
    assert decision.reasons[1].startswith("examined as far as the policy asks (0.8); highest risk 0.02")


def test_one_lost_line_of_a_long_strip_is_not_said_to_be_nothing() -> None:
    clean, lost = look(np.zeros((300, 300), bool)), Problem("part 1", "the camera lost 1 of 30000 lines")
    decision = decide(Case("part 1", clean, 29999 / 30000, (lost,), "OK", 0.5), None)
    assert decision.verdict is Verdict.NOT_EXAMINED
    assert decision.reasons[0].startswith("less than 0.01% of it was not examined")
    (item,) = items_of([Line(decision, {}, {})])
    assert "more than 99.99%" in facts(item)


def test_a_defect_on_a_part_with_lost_lines_is_flagged_and_both_are_said() -> None:
    seen = look(drawn(start=(40, 50), end=(200, 50)))
    decision = decide(Case("part 1", seen, 0.9, (), "OK", 0.5), None)
    assert decision.verdict is Verdict.FLAG and "not examined" in decision.reasons[-1]
    assert "SCR" in decision.findings[0].why


def test_a_part_of_which_nothing_was_seen_never_passes() -> None:
    assert decide(Case("part 1", (), 0.0, (), "OK", 0.5), None).verdict is Verdict.NOT_EXAMINED
    assert decide(Case("part 1", (), 1.0, (), "OK", 0.5), None).verdict is Verdict.NOT_EXAMINED


def test_what_is_unlike_the_training_images_is_flagged_as_unknown() -> None:
    seen = look(np.zeros((300, 300), bool), novelty=3.0)
    decision = decide(Case("part 1", seen, 1.0, (), "OK", 0.5), None)
    assert decision.verdict is Verdict.FLAG and {f.label for f in decision.findings} == {"UNKNOWN"}


def test_a_bundle_without_an_ok_label_passes_nothing() -> None:
    decision = decide(Case("part 1", look(np.zeros((300, 300), bool)), 1.0, (), None, None), None)
    assert decision.verdict is Verdict.FLAG


def test_a_site_accepts_small_defects_by_rule_and_only_as_many_as_it_says(tmp_path: Path) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text('[[accept]]\ntype = "SCR"\nmax_length_mm = 12.0\nmax_count = 1\n')
    one = look(drawn(start=(40, 50), end=(200, 50)))
    two = look(drawn(start=(40, 50), end=(200, 50)) | drawn(start=(400, 400), end=(560, 400)))
    accepted = decide(Case("part 1", one, 1.0, (), "OK", 0.5), policy)
    assert accepted.verdict is Verdict.PASS and "accepted by rule: SCR up to 12 mm" in accepted.reasons[0]
    assert decide(Case("part 1", two, 1.0, (), "OK", 0.5), policy).verdict is Verdict.FLAG
    long = look(drawn(start=(40, 50), end=(400, 50)))
    assert decide(Case("part 1", long, 1.0, (), "OK", 0.5), policy).verdict is Verdict.FLAG


def test_a_rule_names_its_type_by_any_word_that_the_labels_know_and_by_no_other(tmp_path: Path) -> None:
    policy, one = tmp_path / "policy.toml", look(drawn(start=(40, 50), end=(200, 50)))
    policy.write_text('[[accept]]\ntype = "scratch"\nmax_length_mm = 12.0\n')
    assert decide(Case("part 1", one, 1.0, (), "OK", 0.5), policy).verdict is Verdict.PASS
    for word, said in (("scrtch", "is unknown; did you mean 'scratch'"), ("OK", "means OK, which needs no rule")):
        policy.write_text(f'[[accept]]\ntype = "{word}"\nmax_length_mm = 12.0\n')
        with pytest.raises(ConfigError, match=said):
            decide(Case("part 1", one, 1.0, (), "OK", 0.5), policy)


def dust_policy(folder: Path) -> Path:
    (folder / "policy.toml").write_text('[[accept]]\ntype = "SCR"\nmax_length_mm = 90.0\nmax_count = 9\n')
    return folder / "policy.toml"


def test_what_is_acceptable_does_not_cover_a_defect_that_touches_it(tmp_path: Path) -> None:
    """The scratch's sum over both tiles is the larger one, so that the finding bears its name."""
    seen = look(drawn(start=(40, 50), end=(200, 50)))
    assert decide(Case("part 1", seen, 1.0, (), "OK", 0.3), dust_policy(tmp_path)).verdict is Verdict.PASS
    flagged = max(seen, key=lambda s: s.probabilities["SCR"])
    beside = replace(flagged, probabilities={"OK": 0.3, "SCR": 0.25, "DEN": 0.45})
    mixed = tuple(beside if s is flagged else s for s in seen)
    decision = decide(Case("part 1", mixed, 1.0, (), "OK", 0.3), dust_policy(tmp_path))
    assert {f.label for f in decision.findings} == {"SCR"} and decision.verdict is Verdict.FLAG


def test_what_is_acceptable_does_not_cover_what_is_unlike_the_training_images(tmp_path: Path) -> None:
    seen = look(drawn(start=(40, 50), end=(200, 50)))
    novel = tuple(replace(s, novelty=3.0) if s.probabilities["SCR"] > 0.5 else s for s in seen)
    assert decide(Case("part 1", novel, 1.0, (), "OK", 0.3), dust_policy(tmp_path)).verdict is Verdict.FLAG


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("broken", ["probability", "novelty"])
def test_what_is_not_a_number_never_passes(broken: str, whole: bool) -> None:
    first, *others = look(np.zeros((300, 300), bool))
    assert decide(Case("part 1", (first, *others), 1.0, (), "OK", 0.5), None).verdict is Verdict.PASS
    if broken == "probability":
        no_map = None if first.class_map is None else np.full_like(first.class_map, np.nan)
        first = replace(first, probabilities=dict.fromkeys(first.probabilities, float("nan")), class_map=no_map)
    else:
        first = replace(first, novelty=float("nan"))
    if whole:
        first, others = replace(first, sample=replace(first.sample, window=None)), []
    for seen in ((first, *others), (*others, first)):
        assert decide(Case("part 1", seen, 1.0, (), "OK", 0.5), None).verdict is Verdict.FLAG


def test_a_policy_with_a_slip_of_the_pen_is_refused(tmp_path: Path) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text("novelty_limt = 3.0\n")
    with pytest.raises(ConfigError, match="did you mean 'novelty_limit'"):
        decide(Case("part 1", look(np.zeros((96, 96), bool)), 1.0, (), "OK", 0.5), policy)


def test_the_feret_diameter_of_a_rectangle_is_its_diagonal() -> None:
    assert max_feret_mm(np.ones((30, 40), bool), (0.1, 0.1)) == pytest.approx(5.0)
    assert max_feret_mm(np.ones((30, 40), bool), (0.1, 0.2), step=2) == pytest.approx(2 * np.hypot(4, 6))


@pytest.mark.parametrize("side", [8, 16, 64])
def test_evidence_of_a_single_cell_never_vanishes(side: int) -> None:
    """However fine the class map is against the map of the frame."""
    for place in range(0, side, max(1, side // 8)):
        class_map = np.zeros((3, side, side), np.float32)
        class_map[1, place, (3 * place) % side] = 9.0
        sample = Sample(
            "s", "f.png", 128, 128, Box(0, 0, 128, 128), Box(16, 16, 112, 112), "part 1", (0, 0), "p", SCALE
        )
        seen = Seen(sample, {"OK": 0.01, "SCR": 0.98, "DEN": 0.01}, 0.5, class_map)
        assert len(found((seen,))) == 1


def test_a_risk_above_the_threshold_never_passes_even_if_nothing_shows_where(monkeypatch: pytest.MonkeyPatch) -> None:
    module = import_module("verticals.industrial.decide")

    monkeypatch.setattr(module, "merge", lambda *_, **__: [])
    decision = decide(Case("part 1", look(drawn(start=(40, 50), end=(200, 50))), 1.0, (), "OK", 0.5), None)
    assert decision.verdict is Verdict.FLAG and "nothing shows where" in decision.reasons[-1]
