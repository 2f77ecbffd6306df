"""Photographs of skin as DICOM objects or image files, for the clinician; decision support, never a diagnosis."""

from pathlib import Path

from shared.vertical import Vertical
from verticals.medical.decide import decide
from verticals.medical.ingest import ingest
from verticals.medical.photograph import gate
from verticals.medical.reading.known import frames
from verticals.medical.report import report
from verticals.medical.synth import synth
from verticals.medical.triage import DISCLAIMER

VERTICAL = Vertical(
    "medical",
    Path(__file__).parent,
    ingest,
    decide,
    report,
    synth,
    finds="lesions",
    samples="pictures of patients",
    always_ingest=True,
    notice=DISCLAIMER,
    gate=gate.unfit,
    frames=frames,
)
