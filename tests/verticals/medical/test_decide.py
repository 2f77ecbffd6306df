"""Decisions about pictures whose probabilities are made by hand, so that the right answer is known."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from shared import taxonomy as core
from shared.errors import ConfigError, Problem
from shared.records import Decision, Sample, Verdict
from shared.vertical import Case, Seen
from verticals.medical import taxonomy
from verticals.medical.decide import NO_TRIGGER, NOT_SCORED, NOTED, QUALITY, decide
from verticals.medical.triage import DISCLAIMER

UNSOUGHT = ("bkl", "df", "nv", "vasc")
CLEAR = {"akiec": 0.002, "bcc": 0.002, "bkl": 0.02, "df": 0.005, "mel": 0.006, "nv": 0.96, "vasc": 0.005}
GRAVE = {"akiec": 0.02, "bcc": 0.02, "bkl": 0.02, "df": 0.01, "mel": 0.5, "nv": 0.42, "vasc": 0.01}
CHECKED = {QUALITY: "checked"}


def look(
    probabilities: dict[str, float],
    possible: tuple[str, ...] | None = ("nv",),
    *,
    novelty: float = 0.5,
    provenance: dict[str, str] | None = None,
    name: str = "a",
) -> Seen:
    sample = Sample(
        name, f"{name}.png", 600, 450, frame="visit 1", provenance=CHECKED if provenance is None else provenance
    )
    return Seen(sample, probabilities, novelty, possible=possible)


def case(
    *seen: Seen, threshold: float | None = 0.1, unsought: tuple[str, ...] = UNSOUGHT, examined: float = 1.0
) -> Case:
    return Case("visit 1", seen, examined, (), None, threshold, unsought)


def text(decision: Decision) -> str:
    return " | ".join(decision.reasons)


def test_a_clear_picture_passes_with_words_that_promise_nothing() -> None:
    decision = decide(case(look(CLEAR, ("nv", "bkl"))), None)
    assert decision.verdict is Verdict.PASS and decision.reasons[0].startswith(NO_TRIGGER)
    assert "probability 0.010, below 0.1" in text(decision) and "common nevus" in text(decision)
    assert not re.search(r"\bbenign\b|no cancer|healthy|\bsafe\b|rules? out|\bOK\b", text(decision), re.IGNORECASE)
    assert decision.findings[0].risk == pytest.approx(0.01) and decision.findings[0].label == "NEVUS"


def test_a_probable_melanoma_is_flagged_with_its_urgency_its_risk_and_what_else_it_may_be() -> None:
    decision = decide(case(look(GRAVE, ("mel", "nv"))), None)
    (finding,) = decision.findings
    assert decision.verdict is Verdict.FLAG and finding.label == "MEL" and finding.risk == pytest.approx(0.54)
    assert finding.probability == pytest.approx(0.5)
    assert decision.reasons[0].startswith(
        "suggested urgency: within 2 weeks (proposed, needs a dermatologist's sign-off)"
    )
    assert "probability 0.540, flagged from 0.1" in text(decision)
    assert "possible: invasive melanoma, common nevus" in text(decision)


@pytest.mark.parametrize("word", ["mel", "akiec", "bcc"])
def test_nothing_passes_whose_prediction_set_holds_something_malignant_or_pre_malignant(word: str) -> None:
    decision = decide(case(look(CLEAR, ("nv", word))), None)
    assert decision.verdict is Verdict.FLAG and "the prediction set holds" in text(decision)
    assert decision.findings[0].label == taxonomy.resolve(word).code


def test_nothing_passes_that_may_be_urgent_although_it_is_no_tumour() -> None:
    probabilities = {"mel": 0.001, "cellulitis": 0.2, "eczema": 0.799}
    seen = look(probabilities, ("eczema", "cellulitis"))
    decision = decide(case(seen, unsought=("cellulitis", "eczema")), None)
    assert decision.verdict is Verdict.FLAG and decision.reasons[0].startswith("suggested urgency: same day")
    assert decision.findings[0].label == "CELLULITIS"


def test_a_site_may_say_which_urgency_passes(tmp_path: Path) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text("refer_urgency = 1\n")
    vascular = case(look({**CLEAR, "nv": 0.3, "vasc": 0.665}, ("vasc",)))
    assert decide(vascular, None).verdict is Verdict.FLAG
    assert decide(vascular, policy).verdict is Verdict.PASS
    policy.write_text("refer_urgency = 7\n")
    with pytest.raises(ConfigError, match="refer_urgency is 7; allowed is 0"):
        decide(vascular, policy)
    policy.write_text("refer_urgncy = 1\n")
    with pytest.raises(ConfigError, match="did you mean 'refer_urgency'"):
        decide(vascular, policy)


def test_what_is_unlike_the_build_is_unknown_and_forced_into_no_disease() -> None:
    for probabilities in (CLEAR, GRAVE):
        decision = decide(case(look(probabilities, novelty=1.5)), None)
        assert decision.verdict is Verdict.FLAG and decision.findings[0].label == "UNKNOWN"
        assert "no disease is named" in text(decision) and decision.findings[0].probability == pytest.approx(0.6)
        assert "nevus" not in text(decision) and "melanoma" not in text(decision)
    assert "probability 0.540" in text(decision)  # the risk is told all the same
    assert decide(case(look(CLEAR, novelty=float("nan"))), None).verdict is Verdict.FLAG


def test_a_number_that_is_none_never_passes() -> None:
    assert decide(case(look(dict.fromkeys(CLEAR, float("nan")))), None).verdict is Verdict.FLAG


@pytest.mark.parametrize("threshold", [None, 0.0])
def test_without_a_certified_threshold_nothing_passes(threshold: float | None) -> None:
    decision = decide(case(look(CLEAR), threshold=threshold), None)
    assert decision.verdict is Verdict.FLAG and "certifies no threshold" in text(decision)


def test_a_certificate_about_other_labels_is_not_believed() -> None:
    """A bundle whose build took actinic keratosis for harmless has certified another recall."""
    decision = decide(case(look(CLEAR), unsought=(*UNSOUGHT, "akiec")), None)
    assert decision.verdict is Verdict.FLAG and "about other labels" in text(decision)


def test_without_a_prediction_set_or_with_an_empty_one_nothing_passes() -> None:
    assert "nothing can be excluded" in text(decide(case(look(CLEAR, None)), None))
    decision = decide(case(look(CLEAR, ())), None)
    assert decision.verdict is Verdict.FLAG and "no label of the bundle would be usual" in text(decision)


def test_a_label_with_too_few_cases_to_be_excluded_counts_only_where_it_is_likely(tmp_path: Path) -> None:
    """It is in every set: without a floor one rare urgent label refers every picture there is."""
    seen = look(CLEAR, ("nv", "vasc"))
    assert decide(case(seen), None).verdict is Verdict.FLAG  # in the set by its own evidence
    rare = replace(case(seen), uncertified=("vasc", "df"))
    passed = decide(rare, None)
    assert passed.verdict is Verdict.PASS and passed.facts["urgency"] == 4
    assert "too few cases to exclude vascular lesion" in text(passed)
    assert passed.facts["possible"] == ["NEVUS"] and passed.facts["not_excluded"] == ["VASC"]
    likely = replace(rare, seen=(look({**CLEAR, "nv": 0.895, "vasc": 0.07}, ("nv", "vasc")),))
    assert decide(likely, None).verdict is Verdict.FLAG and decide(likely, None).facts["urgency"] == 2
    assert decide(likely, None).facts["possible"] == ["VASC", "NEVUS"]
    unlike = replace(rare, seen=(replace(seen, novelty=9.0),))
    assert "possible" not in decide(unlike, None).facts, "a set promises nothing about pictures of another kind"
    nothing = replace(rare, seen=(look(CLEAR, ("vasc",)),))
    assert decide(nothing, None).verdict is Verdict.FLAG and "no label of the bundle" in text(decide(nothing, None))
    unknown = replace(rare, seen=(look({**CLEAR, "vasc": float("nan")}, ("nv", "vasc")),))
    assert decide(unknown, None).verdict is Verdict.FLAG
    policy = tmp_path / "policy.toml"
    policy.write_text("refer_uncertified = 0\n")
    assert decide(rare, policy).verdict is Verdict.FLAG


def test_facts_carry_what_report_and_structured_report_need_and_no_score_of_what_was_not_examined() -> None:
    known = {"lesion": "L1", "age_years": 61.0, "sex": "F", "body_site_name": "back", "file_sha256": "not theirs"}
    seen = look(GRAVE, ("mel", "nv"), provenance={**CHECKED, **known})
    seen = replace(seen, sample=replace(seen.sample, group="P1"))
    facts = decide(case(seen), None).facts
    assert {k: facts[k] for k in ("lesion", "patient", "age_years", "sex", "body_site_name")} == {
        "lesion": "L1", "patient": "P1", "age_years": 61.0, "sex": "F", "body_site_name": "back",
    }  # fmt: skip
    assert facts["urgency"] == 1 and facts["urgency_status"].startswith("proposed") and facts["threshold"] == 0.1
    assert facts["probabilities"]["MEL"] == 0.5 and facts["quality"] == "checked, no fault noted"
    assert "file_sha256" not in facts and "threshold" not in decide(case(seen, threshold=None), None).facts
    blind = replace(seen, sample=replace(seen.sample, provenance={**known, NOT_SCORED: "blurred; again"}))
    blind_facts = decide(case(blind), None).facts
    assert blind_facts["quality"] == "below the quality gate: blurred; again" and blind_facts["lesion"] == "L1"
    assert not {"urgency", "threshold", "probabilities"} & set(blind_facts)
    problem = Problem("visit 1", "a CT slice")
    assert decide(Case("visit 1", (), 0.0, (problem,), None, 0.1, UNSOUGHT), None).facts == {}


def test_a_site_can_lower_the_threshold_and_never_raise_it(tmp_path: Path) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text("threshold = 0.005\n")
    assert decide(case(look(CLEAR)), policy).verdict is Verdict.FLAG
    policy.write_text("threshold = 0.9\n")
    decision = decide(case(look({**CLEAR, "mel": 0.2, "nv": 0.766})), policy)
    assert decision.verdict is Verdict.FLAG and "flagged from 0.1" in text(decision)


def test_below_the_quality_gate_there_is_a_reason_and_a_way_out_and_no_score() -> None:
    why = "blurred (sharpness 0.4, limit 1.2); hold the camera still and focus on the lesion"
    decision = decide(case(look(GRAVE, ("mel",), provenance={NOT_SCORED: why})), None)
    assert decision.verdict is Verdict.NOT_EXAMINED and decision.findings == () and decision.examined == 0
    assert why in text(decision) and "no score is given" in text(decision)
    assert not re.search(r"0\.5|melanoma|probability", text(decision))


def test_what_never_became_a_picture_is_not_examined_with_its_reason() -> None:
    problem = Problem("visit 1", "not skin: a CT slice; send a photograph of the lesion")
    decision = decide(Case("visit 1", (), 0.0, (problem,), None, 0.1, UNSOUGHT), None)
    assert decision.verdict is Verdict.NOT_EXAMINED and problem.what in text(decision)
    assert decide(Case("visit 1", (), 1.0, (), None, 0.1, ()), None).verdict is Verdict.NOT_EXAMINED


def test_one_bad_picture_of_two_does_not_pass_and_a_grave_one_is_still_flagged() -> None:
    bad = look(CLEAR, provenance={NOT_SCORED: "glare; take it again without flash"}, name="b")
    half = decide(case(look(CLEAR), bad), None)
    assert half.verdict is Verdict.NOT_EXAMINED and half.examined == 0.5 and half.findings == ()
    grave = decide(case(look(GRAVE, ("mel",)), bad), None)
    assert grave.verdict is Verdict.FLAG and "glare" in text(grave) and grave.findings[0].samples == ("a",)


def test_a_part_that_was_not_looked_at_does_not_pass() -> None:
    decision = decide(case(look(CLEAR), examined=0.9), None)
    assert decision.verdict is Verdict.NOT_EXAMINED and "10.00% of it" in text(decision)


def test_of_several_pictures_the_gravest_speaks_in_one_finding() -> None:
    decision = decide(case(look(CLEAR), look(GRAVE, ("mel",), name="b")), None)
    assert decision.verdict is Verdict.FLAG and len(decision.findings) == 1
    assert decision.findings[0].samples == ("b",) and "gravest of 2 pictures" in decision.reasons[0]
    both = decide(case(look(CLEAR), look(CLEAR, name="b")), None)
    assert both.verdict is Verdict.PASS and both.findings[0].samples == ("a", "b")


def test_unchecked_quality_is_said_and_a_site_can_insist(tmp_path: Path) -> None:
    unchecked = case(look(CLEAR, provenance={}))
    decision = decide(unchecked, None)
    assert decision.verdict is Verdict.PASS and "image quality was not checked" in text(decision)
    assert "not checked" not in text(decide(case(look(CLEAR)), None))
    policy = tmp_path / "policy.toml"
    policy.write_text("require_quality_check = true\n")
    refused = decide(unchecked, policy)
    assert refused.verdict is Verdict.NOT_EXAMINED and refused.examined == 0 and refused.findings == ()
    assert "which this clinic requires" in text(refused) and refused.facts["quality"] == "image quality was not checked"
    assert decide(case(look(CLEAR)), policy).verdict is Verdict.PASS
    half = decide(case(look(CLEAR), look(CLEAR, provenance={}, name="b")), policy)
    assert half.verdict is Verdict.NOT_EXAMINED and half.examined == 0.5
    grave = decide(case(look(GRAVE, ("mel",), provenance={})), policy)
    assert grave.verdict is Verdict.FLAG and grave.examined == 0 and "was not checked" in text(grave)


def test_faults_that_do_not_forbid_a_score_are_told() -> None:
    decision = decide(case(look(CLEAR, provenance={**CHECKED, NOTED: "hairy"})), None)
    assert decision.verdict is Verdict.PASS and "noted: hairy" in text(decision)


@pytest.mark.parametrize("probabilities", [CLEAR, GRAVE])
@pytest.mark.parametrize("provenance", [CHECKED, {NOT_SCORED: "blurred; take it again"}])
def test_every_decision_and_every_finding_carries_the_disclaimer(
    probabilities: dict[str, float], provenance: dict[str, str]
) -> None:
    decision = decide(case(look(probabilities, provenance=provenance)), None)
    assert decision.reasons[-1] == DISCLAIMER
    assert all(DISCLAIMER in finding.why for finding in decision.findings)


def test_a_signed_tier_is_no_longer_called_proposed(monkeypatch: pytest.MonkeyPatch) -> None:
    signed = {
        c: replace(n, reviewed_by="A. Dermatologist", reviewed_on="2026-01-31") for c, n in taxonomy.nodes().items()
    }
    monkeypatch.setattr(taxonomy, "nodes", lambda: signed)
    decision = decide(case(look(GRAVE, ("mel",))), None)
    assert "(signed by A. Dermatologist, 2026-01-31)" in decision.reasons[0] and "proposed" not in text(decision)


def test_the_labels_that_the_core_certifies_are_those_that_the_decision_believes() -> None:
    assert core.load(taxonomy.LABELS).unsought(CLEAR) == UNSOUGHT
