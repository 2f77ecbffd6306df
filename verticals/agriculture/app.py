"""The agronomists' page: a map of a field, its zones to be judged, its prescription and its irrigation.

Started by ``loupe review agriculture``, or ``streamlit run verticals/agriculture/app.py -- --store FILE --map FOLDER``.
"""

import argparse
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
# Streamlit puts this folder first on sys.path: there decide.py would pass for anybody's module of that name.
sys.path[:] = [p for p in sys.path if not p or Path(p).resolve() != HERE]
if str(HERE.parents[1]) not in sys.path:
    sys.path.append(str(HERE.parents[1]))

import streamlit as st  # noqa: E402

from shared import taxonomy  # noqa: E402
from shared.errors import LoupeError  # noqa: E402
from shared.records import Review  # noqa: E402
from shared.review import launch, texts, ui  # noqa: E402
from shared.review.store import Store  # noqa: E402
from verticals.agriculture.page import panels  # noqa: E402
from verticals.agriculture.viewing import decks, judging, scenes, wording, zone_items  # noqa: E402
from verticals.agriculture.viewing.scenes import Scene  # noqa: E402

TITLE = "Field map"
PANELS = ("Zone", "Spraying", "Irrigation")
LABELS = taxonomy.load(HERE / "labels.toml")
KEPT = {
    "sprayer": None,
    "how": "recall",
    "by-recall": 0.95,
    "by-threshold": 0.5,
    "farm": None,
    "day": None,
    "rain": 0.0,
}
_DIGITS = "123456789"
_LOOK = decks.Look()


def started() -> tuple[launch.Options, str]:
    """Store and reviewer as for every page, and the map or raster it is started with."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--map", default="")
    known, rest = parser.parse_known_args(sys.argv[1:])
    return launch.options(rest), known.map


@st.cache_resource(show_spinner=False)
def opened(url: str) -> Store:
    """The review store, opened once."""
    return Store.open(url)


@st.cache_resource(show_spinner="reading the map", max_entries=4)
def scene(path: str, changed: float) -> Scene:
    """What is shown of a map or raster, read once for each time it was written."""
    return scenes.read(Path(path))


def name(code: str) -> str:
    """The label's name for people."""
    found = LABELS.find(code)
    return found.name if found else code


def where(path: str) -> float:
    """When a map or raster was last written; a new one is read anew."""
    card = Path(path) / "map.json"
    file = card if card.is_file() else Path(path)
    return file.stat().st_mtime if file.exists() else 0.0


def page(options: launch.Options, given: str) -> None:
    """The map's page, or that of findings where the store has nothing else."""
    store = opened(options.store)
    queued = store.items()
    maps = zone_items.maps(queued)
    if not given and not maps and queued:
        ui.page("Tiles of fields", LABELS, options=options, words=ui.Words(frame="Tile"))
        return
    st.set_page_config(page_title=TITLE, layout="wide")
    st.html(wording.STYLE)
    known = [given] if given else [str(path) for path in maps]
    path = st.selectbox("Map", known, label_visibility="collapsed") if len(known) > 1 else known[0] if known else ask()
    if not path:
        return
    on = scene(path, where(path))
    if on.items:
        store.add_items(on.items)
    standing = zone_items.verdicts(on.items, store.standing())
    head(on, standing, options)
    for key, start in KEPT.items():  # a widget that is not drawn would be forgotten, and with it what was chosen
        if key in st.session_state or start is not None:
            st.session_state[key] = st.session_state.get(key, start)
    if "targets" in st.session_state and on.field_map is not None:
        st.session_state["targets"] = [t for t in st.session_state["targets"] if t in on.field_map.labels]
    left, right = st.columns([0.64, 0.36], gap="medium")
    sprayed = None
    with right:
        panel = st.segmented_control("Panel", PANELS, default=PANELS[0], label_visibility="collapsed", key="panel")
        with ui.errors():
            if panel == PANELS[1]:
                sprayed = panels.spraying(on, path, where(path), standing, name)
            elif panel == PANELS[2]:
                panels.irrigation(path)
            else:
                zone(on, store, standing)
    with left:
        show(on, standing, sprayed)


def ask() -> str:
    """A place for the path of a map or an orthomosaic, where none was given."""
    st.title(TITLE)
    st.info(
        "Map a field with `loupe map BUNDLE RASTER -o MAP`, queue its zones with `loupe zones MAP --store "
        "reviews.sqlite`; or give a map's folder or an orthomosaic here. No model is needed to look at it."
    )
    return str(st.text_input("Folder of a map, or an orthomosaic (.tif, .vrt)")).strip()


def head(on: Scene, standing: dict[int, Review], options: launch.Options) -> None:
    """The field in one line: what nobody looked at is always in it."""
    first, second = st.columns([0.78, 0.22], vertical_alignment="center")
    first.html(wording.head(on, len(standing)))
    if "reviewer" not in st.session_state:
        st.session_state["reviewer"] = options.reviewer
    # A new box after each name: the old one keeps the cursor, and the keys of verdicts would be written into it.
    key = f"name-{st.session_state.setdefault('names', 0)}"

    def sign() -> None:
        st.session_state["reviewer"] = st.session_state[key]
        st.session_state["names"] += 1

    second.text_input(
        "Your name", st.session_state["reviewer"], key=key, placeholder="your name, to judge",
        label_visibility="collapsed", on_change=sign,
    )  # fmt: skip


# ------------------------------------------------------------------ map


def show(on: Scene, standing: dict[int, Review], sprayed: Any) -> None:
    """Raster, classes and zones over each other; a click chooses a zone."""

    def clicked() -> None:
        picked = (st.session_state["deck"].selection.objects or {}).get(decks.ZONES, [])
        if picked:
            choose(int(picked[0]["properties"]["zone"]) - 1)

    zones, judged = on.zones, {}
    if zones is not None:
        now = [standing[i].label if i in standing else z for i, z in enumerate(zones.label)]
        judged = judging.hectares_as_judged(on.hectares, list(zip(zones.label, zones.area_ha, strict=True)), standing)
        zones = zones.assign(label=now, changed=zones.label != now)
    with st.container(key="map"):
        look = replace(_LOOK, **{key: st.session_state.get(key, start) for key, start in sliders()})
        chart = decks.deck(
            look, raster=on.raster, classes=on.classes, zones=zones, not_examined=on.not_examined,
            outline=on.outline_frame, colours=on.colours, selected=chosen(on) + 1, sprayed=sprayed,
        )  # fmt: skip
        st.pydeck_chart(chart, height=look.height, on_select=clicked, selection_mode="single-object", key="deck")
    st.html(wording.legend(on, name, judged, sprayed=sprayed is not None))
    for column, (key, default) in zip(st.columns(3), sliders(), strict=True):
        column.slider(f"Opacity of {key}", 0.0, 1.0, default, 0.05, key=key)
    with st.expander(f"What to know about this map ({len(on.remarks)})"):
        for remark in on.remarks:
            st.caption(texts.plain(remark))


def sliders() -> tuple[tuple[str, float], ...]:
    """Key and start of each opacity."""
    return ("raster", _LOOK.raster), ("classes", _LOOK.classes), ("zones", _LOOK.zones)


def chosen(on: Scene) -> int:
    """Place of the chosen zone, -1 where there are none."""
    return min(int(st.session_state.get("zone", 0)), len(on.items) - 1)


def choose(place: int) -> None:
    """Choose a zone; its time on the screen begins."""
    st.session_state.update(zone=place, since=time.monotonic(), message="")


# ------------------------------------------------------------------ panels


def zone(on: Scene, store: Store, standing: dict[int, Review]) -> None:
    """One zone: what it is, how sure, how much; and the keys to correct it."""
    place = chosen(on)
    if place < 0:
        st.info("There is no zone on this map." if on.field_map else "This raster has not been mapped.")
        return
    st.session_state.setdefault("since", time.monotonic())
    row, item = on.zones.iloc[place], on.items[place]
    back, number, forth = st.columns([1, 2, 1], vertical_alignment="center")
    count = len(on.items)
    back.button("Previous", shortcut="Left", key="back", on_click=choose, args=((place - 1) % count,), width="stretch")
    number.markdown(f"##### Zone {place + 1} of {count}")
    forth.button("Next", shortcut="Right", key="forth", on_click=choose, args=((place + 1) % count,), width="stretch")
    verdict = standing.get(place)
    st.html(wording.zone(row, item, verdict.label if verdict else item.label, name))
    correct(on, store, place, judged=verdict is not None)
    for line in zone_items.history(item, store.reviews()):
        st.caption(texts.plain(line))
    merge(on, store, standing)


def correct(on: Scene, store: Store, place: int, *, judged: bool) -> None:
    """Keys for the labels of the map, all others in a list."""
    assert on.field_map is not None
    ok, labels = on.field_map.ok_label or "healthy", on.field_map.labels
    reviewer, item = st.session_state["reviewer"].strip(), on.items[place]

    def say(label: str) -> None:
        seconds = time.monotonic() - st.session_state["since"]
        recorded(lambda: f"Recorded as no. {judging.judge(store, item, label, reviewer, ok=ok, seconds=seconds)}")

    def undo() -> None:
        recorded(lambda: wording.taken_back(judging.take_back(store, reviewer)))

    if not reviewer:
        st.caption("Say your name above: every verdict is signed.")
    columns = st.columns(2, gap="small")
    for i, label in enumerate(labels[: len(_DIGITS)]):
        columns[i % 2].button(
            f"It is {name(label)}", shortcut=_DIGITS[i], key=f"say-{label}", width="stretch", on_click=say,
            args=(label,), disabled=judged or not reviewer, type="primary" if label == item.label else "secondary",
        )  # fmt: skip
    others = [label.code for label in LABELS.labels if label.code not in labels]
    columns[0].selectbox(
        "Another label", others, index=None, key=f"other-{place}", format_func=name, placeholder="another label",
        label_visibility="collapsed", disabled=judged or not reviewer,
        on_change=lambda: say(st.session_state[f"other-{place}"]),
    )  # fmt: skip
    columns[1].button("Undo my last", shortcut="U", on_click=undo, disabled=not reviewer, width="stretch")
    st.caption(texts.plain(st.session_state.get("message", "")))


def recorded(work: Any) -> None:
    """Do it and keep what it said, or what stands against it, for the page."""
    try:
        st.session_state["message"] = work()
    except LoupeError as error:
        st.session_state["message"] = str(error)


def merge(on: Scene, store: Store, standing: dict[int, Review]) -> None:
    """Give all zones of one label, or some of them, another label."""
    assert on.field_map is not None
    now = [standing[i].label if i in standing else item.label for i, item in enumerate(on.items)]
    ok, who = on.field_map.ok_label or "healthy", st.session_state["reviewer"].strip()
    with st.expander("Merge or split labels"):
        present = list(dict.fromkeys(now))
        label = st.selectbox("Zones now called", present, present.index(now[chosen(on)]), format_func=name)
        mine = [i + 1 for i, code in enumerate(now) if code == label]
        some = st.multiselect("Only these zones (none: all of them)", mine)
        codes = [*on.field_map.labels, *(c.code for c in LABELS.labels if c.code not in on.field_map.labels)]
        # Nothing is chosen for the person: the first label is the healthy one.
        into = st.selectbox("become", [c for c in codes if c != label], None, format_func=name, placeholder="a label")
        wish = judging.relabelling(now, standing, label, into or "", [i - 1 for i in some])

        def relabel() -> str:
            said = judging.relabel(store, on.items, wish, who, ok=ok)
            return f"{wording.zones(said.recorded)} recorded, {said.kept} were judged before and stay"

        word = wording.relabelling(wish, name) if into else "Choose what they become"
        ready = bool(who and into and wish.open)
        st.button(word, key="merge", on_click=recorded, args=(relabel,), disabled=not ready, width="stretch")


with ui.errors():
    page(*started())
