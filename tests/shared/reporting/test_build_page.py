from copy import deepcopy
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from shared.inference import bundle as bundles
from shared.inference import calibration
from shared.reporting import build_page, rates

PIXEL = "data:image/png;base64,iVBORw0KGgo="
HOSTILE = """<img src=x onerror="alert(1)"> & 'quoted' "twice" </script>{{ 7 * 7 }}"""
SECTIONS = [
    "it can be held to",
    "Recall per label",
    "taken for what",
    "hardest held-out images",
    "What was tried",
    "Do the probabilities",
    "Single images",
    "What more images",
    "The data",
    "Time, size, versions",
]


class Page(HTMLParser):
    """What a browser would make of the page: its elements, their attributes, its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    @property
    def shape(self) -> list[tuple[str, list[str]]]:
        return [(tag, sorted(attributes)) for tag, attributes in self.tags]


def facts(names: list[str], *, n: int = 60, path: str = "a.png", missing: str = "") -> dict[str, Any]:
    """Facts of a build with every section, about ``n`` test images drawn by formula."""
    rng = np.random.default_rng(0)
    k = len(names)
    labels = np.arange(n) % k
    scores = rng.normal(0, 1, (n, k))
    scores[np.arange(n), labels] += 2
    probabilities = calibration.softmax(scores)
    said = probabilities.argmax(1)
    bins = rates.reliability(probabilities, labels)
    share = {"value": 0.02, "low": -0.01, "high": 0.05, "p_better": 0.9, "n": n, "groups": n}
    split = {"ratio": "3 : 1 : 1", "given": False, "duplicates": 1, "near_duplicates": 2, "near_duplicate_bits": 4}
    parts = {s: n for s in ("train", "validation", "test")}
    return {
        "labels": names,
        "vertical": "",
        "data": {
            "source": path,
            "hash": "d" * 64,
            "labels": {name: 5 * n // k for name in names},
            "split": {**split, "images": parts, "components": parts, "leaked_before": 0.25, "leaked_after": 0.0}
            | {"unmeasured": [missing] if missing else []},
        },
        "backbone": {"name": "net", "weights": "file w", "note": "", "image_size": 64, "features": 8, "sha256": "e"},
        "certificate": {
            "sentence": "recall >= 90.0% with 95% confidence at risk >= 0.2",
            "wanted_recall": 0.98,
            "more_needed": 77,
            "flagged_ok": 0.1,
        },
        "candidates": 3,
        "test": {
            **rates.classification(labels, said, names, groups=[""] * n),
            "confusion": rates.confusion(labels, said, names),
            "reliability": bins,
            "reliability_before": bins,
            "ece": 0.04,
            "ece_before": 0.2,
            "brier": 0.1,
            "brier_before": 0.3,
        },
        "temperature": 0.5,
        "tried": [
            {"name": "closed-form head", "adopted": True, "inner": 0.9, "difference": None, "why": "the first"},
            {
                "name": "fine-tuned",
                "adopted": False,
                "inner": None,
                "difference": share,
                "why": path,
                "details": {"e": 2},
            },
        ],
        "random_split": {"sentence": f"a random split by image would promise more, says {path}"},
        "learning_curve": {
            "points": [{"n": n / 2, "balanced_accuracy": 0.7, "low": 0.6, "high": 0.8}],
            "sentence": "twice the images bring two points",
        },
        "extra_minute": {"sentence": "another minute brings nothing"},
        "doctor": {"findings": [{"what": "blurred", "count": 3, "sentence": f"3 blurred, first {path}"}]},
        "novelty": {"limit": 1.0, "sentence": "1 in 100 is novel"},
        "conformal": {
            "alpha": 0.1,
            "sentence": "sets hold the truth",
            "per_label": [{"label": x, "n": 5, "certifiable": x != names[0], "threshold": None} for x in names],
        },
        "left_out": [f"{path}: cannot be decoded"],
        "used_images": 5 * n // k * k,
        "stages": [{"name": "read", "seconds": 1.5}, {"name": "train", "seconds": 20.0}],
        "seconds": 30.0,
        "budget_seconds": 60.0,
        "first_model_seconds": 5.0,
        "size_bytes": 12_000_000,
        "bundle_hash": "b" * 64,
        "recipe": {"backbone": "net", "backbone_args": {"pad_type": path}},
        "made": {"at": "2030-01-01", "with": {"numpy": "2"}},
    }


def image(label: str, predicted: str, thumbnail: str = PIXEL) -> dict[str, Any]:
    return {"path": label, "label": label, "predicted": predicted, "probability": 0.6, "thumbnail": thumbnail}


def written(folder: Path, given: dict[str, Any], hardest: list[dict[str, Any]] | None = None) -> str:
    build_page.write(given, folder / "page.html", hardest=hardest or [])
    assert [p.name for p in folder.iterdir()] == ["page.html"]
    return (folder / "page.html").read_text(encoding="utf-8")


def test_what_it_can_be_held_to_comes_first_and_every_section_in_its_order(tmp_path: Path) -> None:
    text = written(tmp_path, facts(["ok", "rust"]), [image("ok", "rust")])
    places = [text.index(section) for section in SECTIONS]
    assert places == sorted(places)
    seen = Page(text).text
    assert "Recall >= 90.0% with 95% confidence at risk >= 0.2" in seen and "Wanted recall is NOT certified" in seen
    assert "60 test images of 60 independent groups that it never saw" in seen
    assert "3 candidates" in seen and "+2.0 points [-1.0 .. +5.0], P(better) 90 %" in seen
    assert "b" * 64 in seen and "25.0 % of the test images shared" in seen
    assert "3. other" in seen and "8.5 s" in seen and "not used" in seen


def test_nothing_is_loaded_from_elsewhere(tmp_path: Path) -> None:
    hardest = [image("ok", "rust"), image("ok", "rust", "https://example.org/x.png"), image("a", "b", 'data:x"onload')]
    text = written(tmp_path, facts(["ok", "rust"]), hardest)
    loading = {"src", "srcset", "href", "data", "action", "poster", "background"}
    sources = [value for _, a in Page(text).tags for name, value in a.items() if name in loading]
    assert sources == [PIXEL]
    assert "://" not in text and "url(" not in text and "@import" not in text
    assert not {tag for tag, _ in Page(text).tags} & {"script", "link", "iframe", "object", "embed"}
    assert Page(text).text.count("no picture") == 2


def test_each_map_says_whether_it_can_be_believed_and_the_page_how_many_can(tmp_path: Path) -> None:
    checked = [(True, True, 0.21), (True, False, -0.02), (False, False, 0.0)]
    hardest = [
        {**image("ok", "rust"), "map": PIXEL, "telling": telling, "believable": believable, "over_chance": score}
        for telling, believable, score in checked
    ]
    seen = Page(written(tmp_path, facts(["ok", "rust"]), [*hardest, image("ok", "ok")])).text
    assert "Of 3 maps, 1 can be believed, 1 cannot be checked" in " ".join(seen.split())
    for said in ("places matter, +0.21 over chance", "do not rely on it, -0.02", "map: cannot be checked"):
        assert seen.count(said) == 1
    (tmp_path / "page.html").unlink()
    assert "class map" not in written(tmp_path, facts(["ok", "rust"]), [image("ok", "ok")])


@settings(max_examples=10, deadline=None)
@example(text=HOSTILE)
@given(text=st.text(min_size=1, max_size=30))
def test_no_label_or_path_becomes_markup(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    assume(text not in ("ok", "rust"))
    folder = tmp_path_factory.mktemp("page")
    pages = []
    for word in ("rust", text):
        (folder / "page.html").unlink(missing_ok=True)
        given = facts(["ok", word], path=word, missing=word)
        pages.append(Page(written(folder, given, [image(word, "ok"), image("ok", "ok")])))
    assert pages[0].shape == pages[1].shape


def test_labels_and_paths_are_shown_as_they_are(tmp_path: Path) -> None:
    page = Page(written(tmp_path, facts(["ok", HOSTILE], path=HOSTILE), [image(HOSTILE, "ok")]))
    assert page.text.count(HOSTILE) > 8
    assert [a["alt"] for tag, a in page.tags if tag == "img"] == [f"{HOSTILE}, label {HOSTILE}"]


def test_every_picture_and_chart_has_a_text(tmp_path: Path) -> None:
    page = Page(written(tmp_path, facts([f"label {i}" for i in range(40)], n=400), [image("a", "b")]))
    assert all(a.get("alt") for tag, a in page.tags if tag == "img")
    charts = [a for tag, a in page.tags if tag == "svg"]
    assert len(charts) == 40 + 4 and all(a.get("aria-label") and a.get("role") == "img" for a in charts)


def test_recalls_stand_from_the_worst_to_the_best_and_the_unmeasured_last(tmp_path: Path) -> None:
    given = facts(["best", "middle", "worst", "unseen"])
    row = {"n": 9, "low": 0.1, "high": 1.0, "precision": None}
    given["test"]["per_label"] = {
        "unseen": {**row, "n": 0, "recall": None},
        "best": {**row, "recall": 1.0},
        "worst": {**row, "recall": 0.0},
        "middle": {**row, "recall": 0.5},
    }
    text = written(tmp_path, given)
    table = text[text.index("Recall per label") : text.index("What is taken")]
    places = [table.index(f">{label}<") for label in ("worst", "middle", "best", "unseen")]
    assert places == sorted(places) and "nothing can be said" in table[places[-1] :]


def test_a_build_that_failed_to_measure_says_so_on_top(tmp_path: Path) -> None:
    given = facts(["ok", "rust", "wilt"], n=2, missing="rust")
    given |= {"certificate": None, "vertical": "medical", "used_images": 1}
    given["backbone"]["note"] = "RANDOMLY INITIALISED"
    text = Page(written(tmp_path, given)).text
    top = text[: text.index("Recall per label")]
    assert "No certificate" in top and "no recall is promised" in top
    for said in (
        "Not a diagnosis",
        "RANDOMLY INITIALISED",
        "only 2 independent groups",
        "No recall can be stated for 'rust', 'wilt'",
        "Built from 1 of",
    ):
        assert said in top
    assert "on 2 test images" in top and " .. 100.0 %]" in top


def test_without_a_test_image_no_accuracy_is_shown(tmp_path: Path) -> None:
    given = {**facts(["ok", "rust"]), "test": {"n": 0}}
    text = Page(written(tmp_path, given)).text
    assert "not measured, there is no test image" in text and "Balanced accuracy" not in text


def test_leaking_test_images_are_not_called_unseen(tmp_path: Path) -> None:
    given = facts(["ok", "rust"])
    given["data"]["split"] |= {"leaked_after": 0.5}
    text = Page(written(tmp_path, given)).text
    assert "it never saw" not in text and "50.0 % of the test images share a group" in text


def test_a_bundle_of_the_first_version_has_a_page(bundle: Path, tmp_path: Path) -> None:
    later = {"random_split", "learning_curve", "extra_minute", "tried", "stages", "conformal", "novelty", "candidates"}
    card = {k: v for k, v in bundles.load(bundle).card.items() if k not in later}
    card["backbone"] = {**card["backbone"], "note": "RANDOMLY INITIALISED BACKBONE"}
    for part in ("test", "validation"):
        card[part] = {k: v for k, v in card[part].items() if not k.startswith(("brier", "reliability", "ece_"))}
    text = Page(written(tmp_path, card)).text
    assert "RANDOMLY INITIALISED" in text and "not measured" in text and "Brier" in text
    assert "scratch" in text and "What more images" not in text and "hardest" not in text


def test_what_is_not_known_at_all_is_left_out(tmp_path: Path) -> None:
    text = Page(written(tmp_path, {})).text
    assert "No test image: nothing was measured." in text and "not sealed yet" in text


@pytest.mark.parametrize(("count", "as_table"), [(24, True), (30, True), (128, False)])
def test_many_labels_stay_readable(tmp_path: Path, count: int, as_table: bool) -> None:
    given = facts([f"label {i:03}" for i in range(count)], n=6 * count)
    text = written(tmp_path, given)
    assert ('class="matrix' in text) is as_table and ('svg class="heat"' in text) is not as_table
    assert "Confused most often" in text and len(text) < 400_000
    assert all(text.count(f"label {i:03}") for i in range(count))


def test_the_facts_are_not_changed(tmp_path: Path) -> None:
    given = facts(["ok", "rust"])
    before = deepcopy(given)
    written(tmp_path, given, [image("ok", "rust")])
    assert given == before
