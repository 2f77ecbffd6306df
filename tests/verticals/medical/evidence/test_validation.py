import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from shared.inference import bundle as bundles
from shared.records import Verdict
from verticals.medical.evidence.metrics import measure
from verticals.medical.evidence.readings import CALIBRATION, Reading
from verticals.medical.evidence.validation import NOT_FILLED, items, write_validation
from verticals.medical.taxonomy import resolve
from verticals.medical.triage import DISCLAIMER


def cohort() -> list[Reading]:
    """80 melanomas of whom 4 pass, 120 nevi of whom 30 are flagged, 2 pictures not examined, 40 for calibration."""
    rows = []
    for i in range(242):
        grave, calibration = i % 5 < 2, i >= 202
        verdict = Verdict.FLAG if (grave and i >= 10) or i % 20 == 3 else Verdict.PASS
        rows.append(
            Reading(
                f"<{i}>.png",
                resolve("melanoma in situ" if grave else "nv"),
                Verdict.NOT_EXAMINED if i in (200, 201) else verdict,
                None if i in (200, 201) else (0.5 if grave else 0.1) + (i % 40) / 100,
                {} if i in (200, 201) else {"MELANOMA-IS": 0.4, "NEVUS": 0.6},
                patient=f"P{i // 2}",
                lesion=f"<L{i}>",
                part=CALIBRATION if calibration else "test",
                strata={"skin tone": "V-VI" if i % 9 == 0 else "I-II", "sex": ("male", "female")[i % 2]},
            )
        )
    return rows


class Text(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def page(tmp_path: Path, **known: object) -> Text:
    readings = cohort()
    write_validation(readings, measure(readings), tmp_path / "page.html", **known)  # type: ignore[arg-type]
    parsed = Text()
    parsed.feed((tmp_path / "page.html").read_text(encoding="utf-8"))
    return parsed


def test_the_page_carries_the_disclaimer_at_both_ends_and_loads_nothing(tmp_path: Path) -> None:
    found = page(tmp_path)
    assert found.text.count(DISCLAIMER) >= 3  # top, bottom, and as the answer to 21 CFR 878.1820
    assert not [tag for tag, attrs in found.tags if {"src", "href"} & set(attrs) or tag in ("script", "link", "img")]
    assert "proposed, needs a dermatologist's sign-off" in found.text


def test_what_no_software_can_say_is_marked_and_the_rest_is_filled(tmp_path: Path, bundle: Path) -> None:
    card = bundles.load(bundle).card
    found = page(tmp_path, card=card)
    blank = [item for item in items() if not item.answers]
    assert found.text.count(NOT_FILLED) == len(blank) + 1 and len(blank) >= 12
    assert "not known" not in found.text
    assert card["certificate"]["sentence"] in found.text and card["bundle_hash"] in found.text
    assert {item.guideline for item in items()} == {"CLEAR Derm", "CLAIM", "TRIPOD+AI", "21 CFR 878.1820"}
    asked = [item.asks for item in blank]
    assert any("thics" in text for text in asked) and any("ntended use" in text for text in asked)
    assert any("with the software against without" in text for text in asked)


def test_without_the_bundle_what_it_would_say_is_not_known(tmp_path: Path) -> None:
    assert "not known: give the bundle that was measured" in page(tmp_path).text


def test_the_numbers_on_the_page_are_those_that_were_measured(tmp_path: Path) -> None:
    facts, text = measure(cohort()), page(tmp_path).text
    rate = facts["lesion_detection_rate"]
    assert f"{100 * rate['value']:.1f} %" in text and f"n={rate['n']}" in text
    assert f"{rate['passed']} malignant or pre-malignant lesions passed: picture <0>.png, picture <1>.png" in text
    assert "hidden, since fewer than 30 lesions" in text
    assert "n = 0, at least 20 lesions are needed" in text and "not measured reading time" in text
    assert re.search(r"\b2\s+pictures NOT EXAMINED", text)


def test_names_never_become_markup_and_notes_stand_first(tmp_path: Path) -> None:
    found = page(tmp_path, left_out=["<script>alert(1)</script>: broken"], notes=["SYNTHETIC images: <b>drawn</b>"])
    assert "script" not in {tag for tag, _ in found.tags} and "<script>alert(1)</script>: broken" in found.text
    assert found.text.index("SYNTHETIC") < found.text.index("lesion detection rate")


def test_every_item_names_a_fact_that_the_page_knows(tmp_path: Path) -> None:
    from verticals.medical.evidence.validation import _WANTING

    assert {item.answers for item in items() if item.answers} == set(_WANTING)


def test_a_cohort_of_one_kind_is_refused_number_by_number_and_still_makes_a_page(tmp_path: Path) -> None:
    readings = [r for r in cohort() if r.truth.sought][:5]
    facts = measure(readings)
    json.dumps(facts)
    write_validation(readings, facts, tmp_path / "page.html")
    assert "both are needed" in (tmp_path / "page.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("phrase", ["dermatologist-level", "detects cancer", "rules out", "clinically proven"])
def test_the_page_makes_no_claim_that_the_law_forbids(tmp_path: Path, phrase: str) -> None:
    assert phrase not in page(tmp_path).text.lower()
