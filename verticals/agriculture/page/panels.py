"""What stands beside the map for the machine and for water: spraying with its files, and irrigation."""

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import streamlit as st

from shared.errors import LoupeError
from shared.records import Review
from shared.review import texts
from verticals.agriculture.irrigation.advice import NOT_CLAIMED
from verticals.agriculture.spraying import isoxml_files, machine, terminal_profiles
from verticals.agriculture.viewing import charts, orders, prescriptions, watering, wording
from verticals.agriculture.viewing.scenes import Scene
from verticals.agriculture.viewing.targets import usual


@st.cache_resource(show_spinner="laying the sprayer over the field", max_entries=24)
def _ground(
    _on: Scene, path: str, changed: float, wish: prescriptions.Wish, said: tuple[tuple[int, str], ...]
) -> prescriptions.Ground:
    """The map on a machine's grid with zones as judged, once for each state of the file and each wish."""
    assert _on.field_map is not None and _on.outline is not None
    shapes = [(_on.zones.geometry.iloc[i], label) for i, label in said]
    return prescriptions.ground(_on.field_map, _on.outline, wish, shapes)


def spraying(on: Scene, path: str, changed: float, standing: dict[int, Review], name: Callable[[str], str]) -> Any:
    """Machine and threshold, what they save at which recall, and the files for the terminal.

    Args:
        on: What is shown.
        path: Of the map.
        changed: When it was last written.
        standing: Verdicts on its zones.
        name: A label's name for people.

    Returns:
        What is sprayed, None without a map.
    """
    if on.field_map is None:
        st.info("A prescription needs a map; map this raster with loupe map.")
        return None
    machines = machine.profiles()
    key = st.selectbox("Sprayer", list(machines), format_func=lambda k: machines[k].name, key="sprayer")
    st.session_state.setdefault("targets", list(usual(on.field_map)))
    choices = [label for label in on.field_map.labels if label != on.field_map.ok_label]
    targets = st.multiselect("Spray where there is", choices, format_func=name, key="targets")
    by, value = st.columns([0.42, 0.58], vertical_alignment="bottom")
    how = by.radio("Choose by", ("recall", "threshold"), horizontal=True, label_visibility="collapsed", key="how")
    at = value.slider(f"{how.capitalize()}", min_value=0.05, max_value=1.0, step=0.01, key=f"by-{how}")
    recall = at if how == "recall" else 0.95
    wish = prescriptions.Wish(machines[key], tuple(targets), at if how == "threshold" else None, recall)
    said = tuple((i, r.label) for i, r in standing.items())
    laid = _ground(on, path, changed, replace(wish, threshold=None), said)
    made = prescriptions.prescribe(on.field_map, laid, wish)
    facts = prescriptions.facts(made, laid)
    st.html(wording.sprayed(facts))
    st.vega_lite_chart(charts.savings(laid, made), width="stretch")
    _export(made, laid, path, judged=len(standing), zones=len(on.items))
    for remark in dict.fromkeys(facts["remarks"]):
        st.caption(texts.plain(remark))
    return prescriptions.sprayed(made)


def _export(made: prescriptions.Prescribed, laid: prescriptions.Ground, path: str, *, judged: int, zones: int) -> None:
    """Write the files in a person's name, and say whether the terminal would take them."""
    terminals = terminal_profiles.profiles()
    left, right = st.columns([0.36, 0.64])
    form = left.selectbox("Format", list(orders.FORMATS))
    product = right.text_input("Product", max_chars=isoxml_files.TEXT, key="product", placeholder="what is in the tank")
    wanted = "shp" if form == "shp" else "isoxml"
    able = [k for k, t in terminals.items() if t.format == wanted] if form != "gpkg" else []
    usual = orders.FORMATS[form]
    # Over the whole width: beside another box the names are cut before their version.
    key = st.selectbox("Terminal", able, able.index(usual) if usual in able else None,
                       format_func=lambda k: terminals[k].name, disabled=not able)  # fmt: skip
    out = Path(st.text_input("Folder", str(Path(path).with_name(f"{Path(path).name}-prescription-{form}"))))
    who = st.session_state["reviewer"].strip()
    st.caption(texts.plain(wording.ordered(who, judged, zones)))
    pressed = st.button("Export the prescription", type="primary", key="export", width="stretch", disabled=not who)
    if not pressed:
        return
    try:
        more = {"ordered_by": who, "zones": zones, "zones_judged": judged}
        done = orders.order(made, laid, out, form, key or "", names={"product": product}, more=more)
    except LoupeError as error:
        st.error(texts.plain(str(error)))
        return
    st.success(texts.plain(wording.exported(done)))


@st.cache_resource(show_spinner="reckoning the water of each zone", max_entries=24)
def _advice(file: str, changed: tuple[float, ...], on: date | None, rain_mm: float) -> watering.Advised:
    """Advice for a day, reckoned once for each state of the farm's files."""
    return watering.advised(watering.load(Path(file)), Path(file).parent, on=on, rain_mm=rain_mm)


def irrigation(path: str) -> None:
    """Advice for each zone of a farm, with depth and confidence."""
    beside = Path(path).parent / "farm.toml"
    st.session_state.setdefault("farm", str(beside) if beside.is_file() else "")
    file = Path(st.text_input("Farm (weather, soil, crop, probes)", key="farm", placeholder="farm.toml").strip())
    if not file.name:
        st.info("Give the TOML file that names weather, soil, crop and probe readings; see docs/agriculture.md.")
    else:
        left, right = st.columns(2)
        on = left.date_input("End of the day", value=None, key="day", help="None: the last day with weather.")
        rain = right.number_input("Rain to count on, mm", min_value=0.0, max_value=200.0, key="rain")
        changed = tuple(sorted(f.stat().st_mtime for f in file.parent.iterdir() if f.suffix in (".csv", ".toml")))
        found = _advice(str(file), changed, on if isinstance(on, date) else None, rain)
        st.caption(f"{found.on}, {texts.plain(found.crop)}; corrected by {found.pairs} earlier probe readings")
        st.dataframe(watering.table(found), hide_index=True, width="stretch")
        for zone_advice in found.advice:
            st.caption(texts.plain(f"{zone_advice.zone or 'field'}: {zone_advice.reason}"))
        for remark in found.remarks:
            st.caption(texts.plain(remark))
    st.caption(texts.plain(NOT_CLAIMED))
