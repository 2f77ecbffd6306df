"""The whole way with drawn fields: synth, ingest, build, predict, report, through the core as a user goes it."""

import json
from pathlib import Path

import pytest

from shared import config, taxonomy
from shared.build import build
from shared.data import ingested
from shared.recipe import Recipe
from verticals.agriculture import VERTICAL
from verticals.steps import predict_source, report_findings

pytest.importorskip("rasterio", reason="the extra 'agriculture' is not installed")


def test_drawn_fields_are_the_same_for_a_seed_and_say_that_they_are_drawn(tmp_path: Path) -> None:
    first, again, other = (
        VERTICAL.synth(tmp_path / name, seed=seed, small=True, fields=1) / "field-01"
        for name, seed in (("a", 4), ("b", 4), ("c", 5))
    )
    same = ("field.tif", "truth.tif", "weather.csv", "field.json")
    assert all((first / name).read_bytes() == (again / name).read_bytes() for name in same)
    assert (first / "truth.tif").read_bytes() != (other / "truth.tif").read_bytes()
    assert json.loads((first / "field.json").read_text())["synthetic"] is True


@pytest.mark.long
def test_fields_go_the_whole_way_from_raw_files_to_hectares(tmp_path: Path, cache: Path) -> None:
    raw = VERTICAL.synth(tmp_path / "raw", seed=1, small=True)
    today = VERTICAL.synth(tmp_path / "today", seed=2, small=True, fields=2)
    ingested.save(VERTICAL.ingest(raw, tmp_path / "samples"), tmp_path / "samples", VERTICAL.name)
    quick = ["image_size=128", "search=false", "finetune=false"]
    facts = build(
        tmp_path / "samples",
        tmp_path / "fields.bundle",
        recipe=config.load(Recipe, VERTICAL.folder / "recipe.toml", overrides=quick),
        budget_seconds=600,
        cache=cache,
        vertical=VERTICAL.name,
        taxonomy=taxonomy.load(VERTICAL.folder / "labels.toml"),
        say=lambda text: None,
    )
    assert facts["test"]["n"] and facts["certificate"]
    findings = tmp_path / "findings.jsonl"
    said = predict_source(tmp_path / "fields.bundle", today, findings, policy=None, threads=0, lines_to_stdout=False)
    assert said["not_examined"] >= 2, "a corner of each field was not flown"
    truth = findings.with_name(findings.name + ".frames") / ingested.TRUTH
    report = report_findings(findings, truth=truth, store=None, page=tmp_path / "report.html")
    assert any("SYNTHETIC" in note for note in report["notes"]) and report["hectares"]["not_examined"] > 0
    saved = report["treated_area"]
    assert saved["treated_area_saved_at_95_recall"]["value"] <= saved["ceiling_at_95_recall"]["value"] + 1e-9
    # Guessing by chance would rank the tiles no better than their number; a model that learned anything does.
    assert report["recall"]["value"] > report["base_rate"]["value"]
    page = (tmp_path / "report.html").read_text()
    assert "not claimed" in page and "yield" in page and "://" not in page.split("</style>")[1]
