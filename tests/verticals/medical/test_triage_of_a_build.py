"""From labelled pictures to decisions: a bundle without an OK label certifies the recall of what must not be missed."""

import shutil
from pathlib import Path

import pytest

from shared.build import build
from shared.data import sources
from shared.inference import Runtime
from shared.predict import cases
from shared.recipe import Recipe
from shared.records import Decision, Finding, Verdict
from verticals.medical import taxonomy
from verticals.medical.decide import decide
from verticals.medical.report import report

pytestmark = pytest.mark.long

WORDS = {"ok": "nv", "scratch": "mel", "spot": "bkl"}
Answers = tuple[dict[str, Decision], list[Finding], Runtime]


@pytest.fixture(scope="module")
def answers(pictures: Path, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Answers:
    """Drawn pictures under the names of three skin lesions: they stand for the way, not for any skin."""
    folder = tmp_path_factory.mktemp("lesions")
    for drawn, word in WORDS.items():
        shutil.copytree(pictures / drawn, folder / "data" / word)
    build(
        folder / "data",
        folder / "b",
        recipe=Recipe(image_size=64, threads=1, search=False, finetune=False),
        budget_seconds=120,
        cache=cache,
        vertical="medical",
        taxonomy=taxonomy.labels(),
        say=lambda text: None,
    )
    runtime = Runtime.open(folder / "b", threads=1)
    samples, home, _ = sources.samples(folder / "data")
    made = {case.frame: decide(case, None) for case in cases(runtime, samples, home, skipped={}, problems=())}
    return made, [Finding(frame, frame.split("/")[0], 1.0, 1.0) for frame in made], runtime


def test_the_certificate_is_about_the_malignant_label_alone(answers: Answers) -> None:
    bundle = answers[2].bundle
    assert bundle.ok_label is None and bundle.unsought == ("bkl", "nv")
    assert bundle.card["certificate"]["positives"] == 8 and bundle.threshold


def test_what_is_decided_believes_the_certificate_and_keeps_its_threshold(answers: Answers) -> None:
    made, _, runtime = answers
    assert not any("other labels" in reason or "certifies no" in reason for d in made.values() for reason in d.reasons)
    passed = [d for d in made.values() if d.verdict is Verdict.PASS]
    assert all(d.findings[0].risk < (runtime.bundle.threshold or 0) for d in passed)
    assert {d.verdict for d in made.values()} <= {Verdict.PASS, Verdict.FLAG} and len(made) == 140


def test_the_report_over_it_finds_most_and_counts_all(answers: Answers) -> None:
    made, truth, _ = answers
    facts = report(list(made.values()), truth, [])
    assert facts["lesion_detection_rate"]["n"] == 40 and facts["specificity"]["n"] == 100
    assert facts["lesion_detection_rate"]["value"] > 0.8 and facts["measured"]["auc"]["value"] > 0.7
