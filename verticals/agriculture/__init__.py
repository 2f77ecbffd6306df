"""Disease, weeds and stress on maps of fields, in hectares, for the agronomist."""

from pathlib import Path

from shared.vertical import Vertical
from verticals.agriculture.decide import decide
from verticals.agriculture.ingest import ingest
from verticals.agriculture.report import report
from verticals.agriculture.synth import synth

VERTICAL = Vertical(
    "agriculture",
    Path(__file__).parent,
    ingest,
    decide,
    report,
    synth,
    finds="places with a known condition",
    samples="tiles of fields",
)
