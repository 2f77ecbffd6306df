"""Surface defects on frames of a line camera, for the inspector."""

from pathlib import Path

from shared.vertical import Vertical
from verticals.industrial import blind
from verticals.industrial.decide import decide
from verticals.industrial.ingest import ingest
from verticals.industrial.report import report
from verticals.industrial.synth import synth

VERTICAL = Vertical(
    "industrial",
    Path(__file__).parent,
    ingest,
    decide,
    report,
    synth,
    finds="defects",
    samples="tiles of parts",
    blind=blind.picture,
)
