"""A seed in, a folder of drawn fields out: orthomosaic, boundary, weather and exact truth, as an ingest reads them."""

from pathlib import Path

import numpy as np
from tqdm import tqdm

from verticals.agriculture.drawing import files
from verticals.agriculture.drawing.field import draw
from verticals.agriculture.drawing.setting import Setting

GSD_M = 0.03
_STAGES = (31, 33, 37, 39)
"""BBCH stages of the fields, in turn: rows open to rows closed."""


def synth(out: Path, *, seed: int = 0, small: bool = False, fields: int | None = None) -> Path:
    """Draw fields of potatoes with late blight, early blight and weeds in patches, and write them as a grower would.

    Each field is a folder ``out/field-01`` ... with ``field.tif`` (the orthomosaic, of which a corner was not flown),
    ``boundary.gpkg``, ``weather.csv``, and the truth: ``truth.tif``, ``severity.tif``, ``field.json``. They differ in
    stage, row direction, infestation and light. The same arguments give the same pixels. Everything says that it is
    synthetic; a number measured on it is no accuracy in fields.

    Args:
        out: Folder; made where it does not exist, fields of the same names are replaced.
        seed: Seed of everything random.
        small: 6 fields of about 24 m x 24 m instead of 8 of 54 m x 54 m.
        fields: Number of fields, instead of 6 or 8.

    Returns:
        ``out``.
    """
    side, count = (816, 6) if small else (1800, 8)
    for number in tqdm(range(count if fields is None else fields), desc="drawing fields", disable=None, leave=False):
        rng = np.random.default_rng([seed, number])
        setting = Setting(
            width=side,
            height=side,
            gsd_m=GSD_M,
            bbch=_STAGES[number % len(_STAGES)],
            infestation=float(rng.uniform(0.25, 0.45)),
            patch_m=float(rng.uniform(4.0, 7.0)),
            weeds=float(rng.uniform(0.04, 0.08)),
            row_angle_deg=float(rng.uniform(-40, 40)),
            cloud=float(rng.uniform(0.0, 0.5)),
            west=565_000.0 + 200 * number,
        )
        files.write(draw(setting, seed=1000 * seed + number), out / f"field-{number + 1:02d}")
    return out
