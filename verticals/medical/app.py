"""The clinicians' page: findings of a review store in, signed verdicts out; decision support, never a diagnosis.

Started by ``loupe review medical``, or ``streamlit run verticals/medical/app.py -- --store FILE``.
"""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
# Streamlit puts this folder first on sys.path: there decide.py would pass for anybody's module of that name.
sys.path[:] = [p for p in sys.path if not p or Path(p).resolve() != HERE]
if str(HERE.parents[1]) not in sys.path:
    sys.path.append(str(HERE.parents[1]))

from shared import taxonomy  # noqa: E402
from shared.records import Verdict  # noqa: E402
from shared.review import launch, ui  # noqa: E402
from shared.review.items import Item  # noqa: E402
from verticals.medical.triage import DISCLAIMER  # noqa: E402


def headline(item: Item, name: str) -> str:
    """The suggested urgency: what a clinician has to know first; what it looks like and percentages come after."""
    said = item.reasons[0].split("; ")[0].split(" (")[0] if item.reasons else ""
    if item.verdict is Verdict.NOT_EXAMINED:
        return "NOT EXAMINED"
    return (
        f"{said[:1].upper()}{said[1:]}" if said.startswith("suggested urgency") else f"Flagged; looks most like {name}"
    )


# Streamlit would show a docstring here on the page: the malignant families of HAM10000 first, with SCC; all others
# stand in the list.
SHORT = {
    "MEL": "melanoma",
    "BCC": "BCC",
    "SCC": "SCC",
    "AKIEC": "AK / IEC",
    "NEVUS": "naevus",
    "BKL": "BKL",
    "DF": "DF",
    "VASC": "vascular",
    "UNKNOWN": "unknown",
}
WORDS = ui.Words(
    frame="Picture",
    how_to_get_items=(
        "Get findings with `loupe predict BUNDLE SOURCE -o findings.jsonl`, then open them with "
        f"`loupe review medical --findings findings.jsonl`. {DISCLAIMER}"
    ),
    note=DISCLAIMER,
    agree="Agree, looks like",
    nothing="No referral trigger seen",
    inspected="No referral trigger: I looked at the patient",
    nothing_code="NO-TRIGGER",
    another="Another label",
    headline=headline,
    short=SHORT,
)
with ui.errors():
    ui.page(
        "Skin triage",
        taxonomy.load(HERE / "labels.toml"),
        options=launch.options(sys.argv[1:]),
        words=WORDS,
        digits=tuple(SHORT),
    )
