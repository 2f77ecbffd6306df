from pathlib import Path

import pandas as pd

from shared import decisions
from shared.evaluate import SAMPLES, used_for_building
from shared.inference import bundle as bundles
from verticals.steps import predict_source


def test_answers_about_pictures_that_built_the_bundle_are_marked(bundle: Path, pictures: Path, tmp_path: Path) -> None:
    """A report over them would praise the bundle for what it has learned by heart."""
    out = tmp_path / "findings.jsonl"
    predict_source(bundle, pictures / "spot", out, policy=None, threads=1, lines_to_stdout=False)
    table = pd.read_csv(bundle / SAMPLES, dtype="string")
    used = used_for_building(bundles.load(bundle))
    assert used == frozenset(table["id"][table["split"].isin(["train", "validation"])])
    marked = [line.extra["used_in_build"] for line in decisions.read(out)]
    assert len(marked) == 40 and 0 < marked.count(False) < marked.count(True)
