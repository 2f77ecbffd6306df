from pathlib import Path

from shared.inference import bundle as bundles
from shared.reporting import card


def test_the_card_tells_the_certificate_the_rates_and_what_it_was_made_from(bundle: Path) -> None:
    facts = dict(bundles.load(bundle).card)
    text = card.render(facts)
    assert facts["certificate"]["sentence"] in text and facts["data"]["hash"] in text
    assert "| scratch | 8 |" in text and "weights: random" in text
    assert text == (bundle / "MODEL_CARD.md").read_text()


def test_a_medical_card_says_that_it_is_no_diagnosis(bundle: Path) -> None:
    facts = {**bundles.load(bundle).card, "vertical": "medical"}
    assert "Decision support for qualified clinicians. Not a diagnosis." in card.render(facts)


def test_without_an_ok_label_no_certificate_is_claimed(bundle: Path) -> None:
    text = card.render({**bundles.load(bundle).card, "certificate": None})
    assert "No certificate" in text and "recall >=" not in text
