"""The card and the page of a smaller bundle say what each step brought and cost."""

from pathlib import Path
from typing import Any

from shared.inference import bundle as bundles
from shared.reporting import build_page, card


def _step(path: str) -> dict[str, Any]:
    change = {"value": -0.009, "low": -0.029, "high": 0.0}
    return {
        "method": "quantize",
        "chosen": "int8, biases re-estimated",
        "size_bytes": {"before": 5_150_000, "after": 1_430_000},
        "latency_ms": {"before": {"p50": 3.5, "p95": 3.8}, "after": {"p50": 2.5, "p95": 2.7}},
        "test": {
            "n": 108,
            "balanced_accuracy": change,
            "per_label": {"spot": {"value": -0.028, "low": -0.088, "high": 0.001}},
            "worst_label": "spot",
            "flips": [{"path": path, "label": "spot", "before": "spot", "after": "ok"}],
        },
    }


def test_each_step_stands_with_its_numbers_and_the_answers_that_changed(bundle: Path, tmp_path: Path) -> None:
    facts = {**bundles.load(bundle).card, "bundle": str(bundle), "compression": [_step("a <b> | c.png")]}
    build_page.write(facts, tmp_path / "page.html")
    page, text = (tmp_path / "page.html").read_text(), card.render(facts)
    for said in ("quantize: int8, biases re-estimated", "-0.9 points [-2.9 .. +0.0]", "spot"):
        assert said in page and said in text
    assert "5.15 MB became 1.43 MB" in page and "5.15 to 1.43" in text and "1 of 108" in text
    assert "a &lt;b&gt; | c.png" in page and "1 answer changed" in page


def test_a_bundle_that_was_not_made_smaller_does_not_speak_of_it(bundle: Path, tmp_path: Path) -> None:
    facts = {**bundles.load(bundle).card, "bundle": str(bundle)}
    build_page.write(facts, tmp_path / "page.html")
    assert "Made smaller" not in (tmp_path / "page.html").read_text() + card.render(facts)
