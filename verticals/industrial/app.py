"""The inspectors' page: findings of a review store in, signed verdicts out.

Started by ``loupe review industrial``, or ``streamlit run verticals/industrial/app.py -- --store FILE``.
"""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
# Streamlit puts this folder first on sys.path: there decide.py would pass for anybody's module of that name.
sys.path[:] = [p for p in sys.path if not p or Path(p).resolve() != HERE]
if str(HERE.parents[1]) not in sys.path:
    sys.path.append(str(HERE.parents[1]))

from shared import taxonomy  # noqa: E402
from shared.review import launch, ui  # noqa: E402

WORDS = ui.Words(
    frame="Part",
    how_to_get_items=(
        "Get findings with `loupe predict BUNDLE SOURCE -o findings.jsonl`, then open them with "
        "`loupe review industrial --findings findings.jsonl`."
    ),
)


with ui.errors():
    ui.page(
        "Surface inspection",
        taxonomy.load(HERE / "labels.toml"),
        options=launch.options(sys.argv[1:]),
        words=WORDS,
    )
