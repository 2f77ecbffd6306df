"""A route in, one self-contained HTML page to print and take along out."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jinja2

from shared import atomic
from verticals.agriculture.scouting import sketch
from verticals.agriculture.scouting.choosing import Stratum
from verticals.agriculture.scouting.route import Route
from verticals.agriculture.scouting.route_files import title

_FOLDER = Path(__file__).parent
MEANING = {
    Stratum.UNCERTAIN: "a visit may change the decision",
    Stratum.HIGH: "the map is sure that it is there",
    Stratum.CONTROL: "the map is sure that nothing is there; drawn at random",
    Stratum.UNSEEN: "NOT EXAMINED: nothing is known",
}


def write(route: Route, path: Path, *, zones: Any = None) -> None:
    """Write the sheet, whole or not at all.

    It holds a map, a row with empty boxes for each stop, how the stops were chosen, what the map was made of with its
    hashes; nothing is loaded from elsewhere.

    Args:
        route: From :func:`verticals.agriculture.scouting.route.plan`.
        path: The HTML file.
        zones: GeoDataFrame of zones in the route's CRS, drawn where given.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_FOLDER), autoescape=True, undefined=jinja2.StrictUndefined
    )
    template = environment.get_template("sheet.html.jinja")
    made = datetime.now(UTC).isoformat(timespec="seconds")
    page = template.render(
        title=title(route), route=route, made=made, drawing=sketch.draw(route, zones), meaning=MEANING, sign=sketch.sign
    )
    atomic.write(path, page)
