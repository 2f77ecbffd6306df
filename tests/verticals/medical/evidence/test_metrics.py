"""Predictions on disk and a clinical table in, all numbers out: the whole way that a study takes."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from shared import decisions
from shared.errors import DataError
from shared.records import Sample, Verdict
from shared.vertical import Case, Seen
from verticals.medical.decide import NOT_SCORED, decide
from verticals.medical.evidence.metrics import measure
from verticals.medical.evidence.readings import CALIBRATION, TEST, Reading, age_band, join
from verticals.medical.triage import DISCLAIMER

LABELS = ("akiec", "bcc", "bkl", "df", "mel", "nv", "vasc")
UNSOUGHT = ("bkl", "df", "nv", "vasc")


def study(folder: Path, *, n: int = 360, seed: int = 0) -> tuple[Path, Path]:
    """Two pictures of each lesion, two lesions of each patient, a third for calibration, one in 40 not scored."""
    rng = np.random.default_rng(seed)
    rows = []
    with decisions.writer(folder / "findings.jsonl") as stream:
        for i in range(n):
            lesion, patient = i // 2, i // 4
            truth = LABELS[int(np.random.default_rng(lesion).integers(0, 7))]
            score = rng.normal(0, 1, 7) + 3.0 * (np.array(LABELS) == truth)
            p = np.exp(score) / np.exp(score).sum()
            gate = {NOT_SCORED: "blurred; hold still"} if i % 40 == 7 else {"quality": "checked"}
            seen = Seen(
                Sample(f"s{i}", f"{i}.png", 8, 8, frame=f"{i}.png", provenance=gate),
                dict(zip(LABELS, map(float, p), strict=True)),
                0.3,
                possible=tuple(label for label, q in zip(LABELS, p, strict=True) if q > 0.1),
            )
            case = Case(f"{i}.png", (seen,), 1.0, (), None, 0.2, UNSOUGHT)
            line = decisions.line(decide(case, None), case, folder, vertical="medical", bundle_hash="b", notes=[])
            print(json.dumps(line), file=stream)
            sex, part = ("male", "female")[patient % 2], ("train-free", "calibration")[patient % 3 == 0]
            rows.append((f"{i}.png", truth, f"L{lesion}", f"P{patient}", sex, 20 + patient % 60, part, i))
    columns = ["path", "label", "lesion_id", "patient_id", "sex", "age_approx", "part", "arrived"]
    pd.DataFrame(rows, columns=columns).to_csv(folder / "known.csv", index=False)
    return folder / "findings.jsonl", folder / "known.csv"


@pytest.fixture(scope="module")
def readings(tmp_path_factory: pytest.TempPathFactory) -> tuple[Reading, ...]:
    findings, known = study(tmp_path_factory.mktemp("study"))
    found, left_out = join(decisions.read(findings), known)
    assert not left_out
    return found


def test_what_was_predicted_and_what_is_known_become_readings(readings: tuple[Reading, ...]) -> None:
    assert len(readings) == 360 and {r.part for r in readings} == {TEST, CALIBRATION}
    blind = [r for r in readings if r.verdict is Verdict.NOT_EXAMINED]
    assert len(blind) == 9 and all(r.risk is None and not r.probabilities for r in blind)
    first = readings[0]
    assert first.lesion == "L0" and first.patient == "P0" and first.strata == {"age band": "0 to 29", "sex": "male"}
    seen = [r for r in readings if r.risk is not None]
    sought = ("AKIEC", "BCC", "MEL")
    assert all(r.risk == pytest.approx(sum(r.probabilities[c] for c in sought)) for r in seen)


def test_every_number_has_its_count_and_interval_and_only_the_test_part_is_measured(
    readings: tuple[Reading, ...],
) -> None:
    facts = measure(readings)
    test = [r for r in readings if r.part == TEST]
    assert facts["disclaimer"] == DISCLAIMER and facts["counts"]["pictures"] == len(test) == 240
    assert facts["counts"]["lesions"] == 120 and facts["counts"]["patients"] == 60
    rate = facts["lesion_detection_rate"]
    assert (
        rate["n"] == facts["counts"]["lesions_that_must_not_be_missed"] and rate["low"] < rate["value"] <= rate["high"]
    )
    for name in ("auc", "partial_auc_above_80_sensitivity", "specificity", "risk_brier", "risk_calibration_error"):
        assert facts[name]["low"] <= facts[name]["value"] <= facts[name]["high"] and facts[name]["n"] > 0, name
    assert [row["prevalence"] for row in facts["number_needed_to_refer"]][1:] == [0.01, 0.05]
    assert facts["fixed"]["calibration_lesions"] == 60
    assert facts["fixed"]["specificity 80%"]["specificity"]["n"] == facts["auc"]["n"] - rate["n"]
    assert set(facts["strata"]) == {"age band", "sex"}
    json.dumps(facts)


def test_the_threshold_of_a_fixed_specificity_never_sees_the_test_part(readings: tuple[Reading, ...]) -> None:
    before = measure(readings)["fixed"]
    turned = [
        r if r.part == CALIBRATION or r.risk is None else Reading(**{**vars(r), "risk": 1 - r.risk}) for r in readings
    ]
    after = measure(turned)["fixed"]
    assert all(before[k]["threshold"] == after[k]["threshold"] for k in before if k != "calibration_lesions")
    assert before["specificity 90%"]["sensitivity"] != after["specificity 90%"]["sensitivity"]
    alone = measure([r for r in readings if r.part == TEST])["fixed"]
    assert "the test part must not choose it" in alone["refused"]


def test_the_balanced_accuracy_is_that_of_the_isic_challenges(readings: tuple[Reading, ...]) -> None:
    oracle = pytest.importorskip("isic_challenge_scoring.metrics")
    own = [r for r in readings if r.part == TEST and r.probabilities]
    names = sorted(own[0].probabilities)
    truth = pd.DataFrame([[float(r.truth.code == c) for c in names] for r in own], columns=names)
    said = pd.DataFrame([[r.probabilities[c] for c in names] for r in own], columns=names)
    theirs = oracle.balanced_multiclass_accuracy(truth, said, pd.Series(np.ones(len(own))))
    found = measure(readings)["diseases"]
    assert found["balanced_multiclass_accuracy"]["value"] == pytest.approx(theirs, abs=1e-9)
    assert found["top_3"]["value"] > found["balanced_multiclass_accuracy"]["value"] and found["n"] == len(own)


def test_without_both_kinds_what_cannot_be_told_is_refused(readings: tuple[Reading, ...]) -> None:
    grave = [r for r in readings if r.truth.sought]
    facts = measure(grave)
    assert "both are needed" in facts["auc"]["refused"] and "risk_brier" not in facts
    assert facts["specificity"]["value"] is None


def test_rows_that_cannot_be_used_are_told(tmp_path: Path) -> None:
    findings, known = study(tmp_path, n=8)
    table = pd.read_csv(known)
    table.loc[0, "label"] = "toe deformity"
    table.loc[1, "path"] = "elsewhere.png"
    table.to_csv(known, index=False)
    found, left_out = join(decisions.read(findings), known)
    assert len(found) == 6 and sorted(left_out) == [
        "0.png: label 'toe deformity' is not in the taxonomy",
        "1.png: nothing is known about it",
        "row 2: there is no answer about it",
    ]
    table["path"] = "nowhere/" + table["path"]
    table.to_csv(known, index=False)
    with pytest.raises(DataError, match="no row has an answer"):
        join(decisions.read(findings), known)
    table.drop(columns="label").to_csv(known, index=False)
    with pytest.raises(DataError, match="column 'label' is missing"):
        join(decisions.read(findings), known)


def test_pictures_of_a_lesion_are_one_lesion_where_the_table_alone_knows_it(tmp_path: Path) -> None:
    """HAM10000 names lesions and no patients, and an ingest that knew neither took each file for a patient."""
    findings, known = study(tmp_path, n=4)
    lines = decisions.read(findings)
    lines = tuple(
        replace(line, decision=replace(line.decision, facts={**line.decision.facts, "patient": line.decision.frame}))
        for line in lines
    )
    known.write_text("path,label,lesion_id\n0.png,mel,HAM_1\n1.png,mel,HAM_1\n2.png,nv,HAM_2\n3.png,nv,HAM_2\n")
    counts = measure(join(lines, known)[0])["counts"]
    assert (counts["pictures"], counts["lesions"], counts["patients"]) == (4, 2, 2)
    known.write_text("path,label,lesion_id,patient_id\n0.png,mel,1,A\n1.png,mel,1,B\n2.png,nv,2,B\n3.png,nv,2,B\n")
    counts = measure(join(lines, known)[0])["counts"]
    assert (counts["lesions"], counts["patients"]) == (3, 2), "each of two patients has a lesion 1"


def test_what_taught_the_model_is_not_measured_and_of_two_truths_the_graver_counts(tmp_path: Path) -> None:
    findings, known = study(tmp_path, n=6)
    known.write_text(
        "path,label,split\n0.png,mel,train\n1.png,nv,Test\n2.png,nv,\n3.png,nv,val\n4.png,mel,test\n4.png,nv,test\n"
    )
    found, left_out = join(decisions.read(findings), known)
    assert [(r.image, r.truth.code, r.part) for r in found] == [
        ("1.png", "NEVUS", TEST), ("2.png", "NEVUS", TEST), ("3.png", "NEVUS", CALIBRATION), ("4.png", "MEL", TEST),
    ]  # fmt: skip
    assert left_out == [
        "5.png: nothing is known about it",
        "0.png: is of the part that a model learns from, on which nothing is measured",
        "row 6: is about 4.png as another row is; the graver of their labels counts",
    ]


def test_the_columns_of_isic_and_ham10000_are_read(tmp_path: Path) -> None:
    findings, known = study(tmp_path, n=2)
    known.write_text(
        "path,label,group,age,localization,fitzpatrick_skin_type,mel_thick_mm,clin_size_long_diam_mm,sex\n"
        "0.png,mel,HAM_1,85+,back,V,0.6,5.2,unknown\n1.png,nv,HAM_2,,unknown,,,,female\n"
    )
    (a, b), _ = join(decisions.read(findings), known)
    assert a.patient == "HAM_1" and a.thickness_mm == 0.6 and a.diameter_mm == 5.2
    assert a.strata == {"age band": "70 and over", "site": "back", "skin tone": "V"} and b.strata == {"sex": "female"}
    assert [age_band(y) for y in (0, 29, 30, 69.5, 70)] == ["0 to 29", "0 to 29", "30 to 49", "50 to 69", "70 and over"]
