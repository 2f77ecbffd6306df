import json
import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from shared.errors import DataError
from verticals.agriculture.mapping import field_map, zones
from verticals.agriculture.mapping.field_map import FieldMap, Grid
from verticals.agriculture.scouting import route, route_files, sheet
from verticals.agriculture.scouting.choosing import Choice
from verticals.agriculture.scouting.places import Costs
from verticals.agriculture.scouting.route import Route

shapely = pytest.importorskip("shapely")
pytest.importorskip("rasterio")
pytest.importorskip("geopandas")

OGRINFO = shutil.which("ogrinfo")
CHROMIUM = shutil.which("chromium")
LABELS = ("healthy", "late blight & <rot>")
HASH = "ab" * 32


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[FieldMap, Route]:
    """A map of 100 x 80 m with a doubtful patch, a sure one and a part that nobody saw; a pond in the middle."""
    p = np.full((2, 160, 200), 0.02, np.float32)
    p[1, 20:60, 20:60], p[1, 100:150, 120:180] = 0.97, 0.45
    p[0] = 1 - p[1]
    validity = np.ones((160, 200), np.uint8)
    validity[120:, :50] = 2
    grid = Grid("EPSG:32633", (0.5, 0, 400_000, 0, -0.5, 5_600_000), 200, 160)
    card = {"raster": {"path": "f.tif", "sha256": HASH, "synthetic": True}, "bundle": {"name": "b", "hash": "cd" * 32}}
    folder = tmp_path_factory.mktemp("walk") / "map"
    rows = [field_map.Rows(0, p, validity)]
    mapped = field_map.write(folder, rows, grid, LABELS, ok_label="healthy", facts=card)
    ground = shapely.box(400_000, 5_599_920, 400_100, 5_600_000) - shapely.Point(400_050, 5_599_960).buffer(8)
    how = Choice(uncertain=4, high=2, control=2, unseen=1, apart_m=8)
    return mapped, route.plan(mapped, ground, LABELS[1:], Costs(), how, start=(400_001, 5_599_999))


@pytest.mark.skipif(OGRINFO is None, reason="ogrinfo (gdal-bin) is not installed")
def test_ogrinfo_reads_the_waypoints_and_the_route_of_gpx_and_kml(made: tuple[FieldMap, Route], tmp_path: Path) -> None:
    walk = made[1]

    def told(path: Path, *layers: str) -> str:
        assert OGRINFO is not None
        done = subprocess.run([OGRINFO, "-ro", "-al", path, *layers], capture_output=True, text=True, check=True)
        assert not done.stderr, done.stderr
        return done.stdout

    for ending in route_files.ENDINGS:
        route_files.write(walk, tmp_path / f"walk{ending}")
    gpx = told(tmp_path / "walk.gpx", "waypoints")
    points = [tuple(map(float, pair)) for pair in re.findall(r"POINT \(([\d.]+) ([\d.]+)\)", gpx)]
    assert points == [(round(s.lon, 7), round(s.lat, 7)) for s in walk.stops], (
        "longitude first, in the order of the walk"
    )
    assert "Look for: late blight & <rot>" in gpx and gpx.count("name (String) =") == len(walk.stops) == 9
    way = told(tmp_path / "walk.gpx", "routes")
    assert way.count("LINESTRING") == 1 and HASH in (tmp_path / "walk.gpx").read_text()
    kml = told(tmp_path / "walk.kml")
    assert kml.count("POINT") == 9 and kml.count("LINESTRING") == 1
    plain = told(tmp_path / "walk.geojson")
    assert plain.count("POINT") == 9 and "(synthetic field)" in plain
    unseen = [f for f in json.loads((tmp_path / "walk.geojson").read_text())["features"] if "risk" in f["properties"]]
    assert sum(f["properties"]["risk"] is None for f in unseen) == 1, "no NaN in JSON"
    with pytest.raises(DataError, match=r"allowed are \.gpx, \.kml, \.geojson"):
        route_files.write(walk, tmp_path / "walk.shp")


class Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.found += [value or "" for name, value in attrs if name in ("src", "href", "xlink:href", "action")]


def test_the_sheet_has_a_map_a_row_with_boxes_for_every_stop_and_hashes_and_loads_nothing(
    made: tuple[FieldMap, Route], tmp_path: Path
) -> None:
    mapped, walk = made
    sheet.write(walk, tmp_path / "sheet.html", zones=zones.zones(mapped))
    text = (tmp_path / "sheet.html").read_text()
    seen = Links()
    seen.feed(text)
    assert not seen.found and "url(" not in text and "@import" not in text and "<script" not in text
    assert "late blight &amp; &lt;rot&gt;" in text and "<rot>" not in text
    assert text.count('class="box"') == 3 * len(walk.stops) and HASH in text and "synthetic" in text
    for stop in walk.stops:
        assert f"{stop.lat:.6f} N" in text and f"{stop.lon:.6f} E" in text
    assert text.count("NOT EXAMINED") >= 3 and 'class="zone"' in text


def test_places_south_and_west_are_written_so(made: tuple[FieldMap, Route], tmp_path: Path) -> None:
    walk = made[1]
    stop = replace(walk.stops[0], lat=-33.5, lon=-70.25)
    sheet.write(replace(walk, stops=(stop,)), tmp_path / "south.html")
    text = (tmp_path / "south.html").read_text()
    assert "33.500000 S" in text and "70.250000 W" in text and "-33.5" not in text


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
def test_a_browser_prints_the_sheet(made: tuple[FieldMap, Route], tmp_path: Path) -> None:
    assert CHROMIUM is not None
    sheet.write(made[1], tmp_path / "sheet.html")
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", f"--print-to-pdf={tmp_path / 'sheet.pdf'}"]
    subprocess.run([*command, (tmp_path / "sheet.html").as_uri()], check=True, capture_output=True, timeout=120)
    assert (tmp_path / "sheet.pdf").read_bytes()[:5] == b"%PDF-"
