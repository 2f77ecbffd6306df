from pathlib import Path

from shared.inference import bundle as bundles
from shared.reporting import card


def test_the_card_tells_the_certificate_the_rates_and_what_it_was_made_from(bundle: Path) -> None:
    facts = dict(bundles.load(bundle).card)
    text = card.render(facts)
    assert facts["certificate"]["sentence"] in text and facts["data"]["hash"] in text
    assert "| scratch | 8 |" in text and "weights: embedded" in text
    assert text == (bundle / "MODEL_CARD.md").read_text()


def test_a_medical_card_says_that_it_is_no_diagnosis(bundle: Path) -> None:
    facts = {**bundles.load(bundle).card, "vertical": "medical"}
    assert "Decision support for qualified clinicians. Not a diagnosis." in card.render(facts)


def test_without_an_ok_label_no_certificate_is_claimed(bundle: Path) -> None:
    text = card.render({**bundles.load(bundle).card, "certificate": None})
    assert "No certificate" in text and "recall >=" not in text


def test_names_and_paths_neither_end_a_cell_nor_become_markup(bundle: Path) -> None:
    facts = dict(bundles.load(bundle).card)
    per_label = {"a|b\n<script>`&": next(iter(facts["test"]["per_label"].values()))}
    facts["test"] = {**facts["test"], "per_label": per_label}
    facts["left_out"] = ["<b>\n# heading"]
    text = card.render(facts)
    assert "| a\\|b &lt;script>\\`&amp; |" in text and "- &lt;b> # heading\n" in text and "<" not in text


def test_the_card_tells_what_was_tried_and_whether_probabilities_hold(bundle: Path) -> None:
    facts = dict(bundles.load(bundle).card)
    difference = {"value": 0.02, "low": -0.01, "high": 0.05, "p_better": 0.9, "n": 20, "groups": 20}
    facts["test"] = {**facts["test"], "ece": 0.05, "ece_before": 0.3, "brier": 0.2, "brier_before": 0.4}
    facts |= {
        "tried": [{"name": "fine-tuned", "adopted": True, "inner": None, "difference": difference, "why": "better"}],
        "extra_minute": {"sentence": "another minute brings nothing"},
        "doctor": {"findings": [{"what": "blurred", "count": 3, "sentence": "3 images are blurred"}]},
        "stages": [{"name": "read", "seconds": 1.25}],
        "candidates": 4,
    }
    text = card.render(facts)
    assert "| fine-tuned | yes | not measured | +2.0 points [-1.0 .. +5.0] | better |" in text
    assert "| calibration error (ECE) | 30.0 % | 5.0 % |" in text and "| 0.400 | 0.200 |" in text
    assert "- another minute brings nothing" in text and "- 3 images are blurred" in text and "read 1.2 s" in text
    assert "accounts for 4 candidates" in text


def test_without_a_test_image_the_card_states_no_rate(bundle: Path) -> None:
    text = card.render({**bundles.load(bundle).card, "test": {"n": 0}})
    assert "Not measured" in text and "balanced accuracy |" not in text


def test_a_head_without_a_strength_is_named_without_one(bundle: Path) -> None:
    facts = dict(bundles.load(bundle).card)
    assert f"- Head: {facts['chosen']['head']}, strength" in card.render(facts)
    facts["chosen"] = {k: v for k, v in facts["chosen"].items() if k != "strength"} | {"head": "linear, tuned"}
    assert "- Head: linear, tuned, temperature" in card.render(facts)
