"""The Streamlit parts of a review page: a taxonomy and a store in, a page that a person works at all day out."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import streamlit as st

from shared.errors import DataError, LoupeError
from shared.records import Action, Verdict
from shared.review import export, order, texts, view
from shared.review.desk import Desk
from shared.review.items import Item
from shared.review.launch import Options
from shared.review.store import Store
from shared.review.view import Camera, View, Viewer
from shared.taxonomy import Taxonomy

_PANEL, _FACTS_HEIGHT = 350, 290
_NOTE_HEIGHT = 30
_AROUND_WH = (_PANEL + 76, 138)  # what the page needs beside and above the picture, in CSS pixels
_LEAST_WH, _MOST_WH, _USUAL_WH = (480, 360), (1800, 1200), (1160, 720)
_DIGITS = "123456789"
_PANS = {"Left": {"right": -1}, "Right": {"right": 1}, "Up": {"down": -1}, "Down": {"down": 1}}
_STYLE = """<style>
.stMainBlockContainer {padding: 0.6rem 1.2rem 0 1.2rem}
.stAppHeader {display: none}
.stImage img {image-rendering: pixelated; border-radius: 0}
.stVerticalBlock {gap: 0.4rem}
.stButton button {min-height: 2.1rem; padding: 0 0.5rem}
h5 {padding: 0}
table.facts {width: 100%; border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 0.9rem; margin: 0}
table.facts td {border: none; padding: 0} table.facts td + td {text-align: right; font-weight: 600}
</style>"""
_BROWSER = """
export default function({ setStateValue }) {
  let timer = 0;
  const tell = () => setStateValue("size", [window.innerWidth, window.innerHeight]);
  const later = () => { clearTimeout(timer); timer = setTimeout(tell, 300); };
  // A held key repeats, and each repeat would be a verdict on the next picture.
  const once = (e) => {
    if (e.repeat && !/^(INPUT|TEXTAREA|SELECT)$/.test(e.target.tagName)) {
      e.stopImmediatePropagation();
      e.preventDefault();
    }
  };
  tell();
  window.addEventListener("resize", later);
  window.addEventListener("keydown", once, true);
  return () => {
    window.removeEventListener("resize", later);
    window.removeEventListener("keydown", once, true);
  };
}
"""


@dataclass(frozen=True)
class Words:
    """How a vertical calls things.

    Attributes:
        frame: One thing that is decided about.
        how_to_get_items: One line for an empty store.
        note: A sentence that stands on the page at all times; empty for none.
        agree: Before the name of a label that a person confirms.
        nothing: What a person says who sees nothing of concern in the picture.
        inspected: The same of what the machine has not examined.
        nothing_code: What such a verdict is recorded as where the taxonomy has no OK label.
        another: Any other label.
        headline: What stands above everything else of an item, from the item and its label's name; then the reasons
            stand before the numbers. None for the name.
        short: Names for the narrow keys 1 to 9, by code; the label's name where there is none.
    """

    frame: str = "Image"
    how_to_get_items: str = ""
    note: str = ""
    agree: str = "It is"
    nothing: str = "OK: nothing there"
    inspected: str = "OK: I inspected the part itself"
    nothing_code: str = "OK"
    another: str = "Another type"
    headline: Callable[[Item, str], str] | None = None
    short: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class _Page:
    """What every part of the page needs."""

    desk: Desk
    taxonomy: Taxonomy
    words: Words
    digits: Sequence[str]
    canvas_wh: tuple[int, int]


def page(
    title: str, taxonomy: Taxonomy, *, options: Options, words: Words | None = None, digits: Sequence[str] = ()
) -> None:
    """The whole page; call it once from an ``app.py``.

    Args:
        title: Name of the page.
        taxonomy: Labels that a person can give.
        options: Store and reviewer.
        words: How the vertical calls things.
        digits: Codes on the keys 1 to 9; the first nine of the taxonomy where none are given.
    """
    st.set_page_config(page_title=title, layout="wide")
    st.html(_STYLE)
    with errors():
        words = words or Words()
        desk = _desk(taxonomy, options, words)
        desk.refresh()
        this = _Page(desk, taxonomy, words, digits, _canvas(_NOTE_HEIGHT if words.note else 0))
        if not desk.items:
            st.title(title)
            st.info(f"There is nothing to review in {texts.plain(desk.store.where)}. {this.words.how_to_get_items}")
            return
        _top(this, title)
        _work(this)


@contextmanager
def errors() -> Iterator[None]:
    """Show what the user must change as one sentence on the page."""
    try:
        yield
    except LoupeError as error:
        st.error(texts.plain(str(error)))


@st.cache_resource(show_spinner=False)
def _store(url: str) -> Store:
    return Store.open(url)


@st.cache_resource(show_spinner=False)
def _viewer() -> Viewer:
    return Viewer()


@st.cache_resource(show_spinner=False)
def _browser() -> Any:
    return st.components.v2.component("loupe_browser", js=_BROWSER)


def _canvas(taken: int) -> tuple[int, int]:
    """Size of the picture (across, down) in pixels: what the window has room for, less ``taken`` of its height."""
    size = _browser()(key="browser", default={"size": None}, on_size_change=lambda: None, height=1).size
    if not size:
        return _USUAL_WH
    room = (int(size[0]) - _AROUND_WH[0], int(size[1]) - _AROUND_WH[1] - taken)
    across, down = (min(max(r, low), high) for r, low, high in zip(room, _LEAST_WH, _MOST_WH, strict=True))
    return across, down


def _desk(taxonomy: Taxonomy, options: Options, words: Words) -> Desk:
    if "desk" not in st.session_state:
        severity = {label.code: label.severity for label in taxonomy.labels}
        ok = taxonomy.ok.code if taxonomy.ok else words.nothing_code
        desk = Desk(_store(options.store), severity=severity, ok_label=ok)
        desk.reviewer = st.query_params.get("reviewer", options.reviewer).strip()
        st.session_state["desk"] = desk
    found: Desk = st.session_state["desk"]
    return found


def _ask_name(desk: Desk, key: str, label: str) -> None:
    def sign() -> None:
        desk.reviewer = st.session_state[key].strip()
        st.query_params["reviewer"] = desk.reviewer

    st.text_input(label, desk.reviewer, key=key, placeholder="needed before the first verdict", on_change=sign)


# ------------------------------------------------------------------ top line


def _top(this: _Page, title: str) -> None:
    done = order.progress(this.desk.items, this.desk.standing)
    with st.container(horizontal=True, vertical_alignment="center", key="top"):
        st.markdown(f"**{title}**", width="content")
        st.progress(done.done / max(done.total, 1), text=texts.progress(done))
        if this.desk.reviewer:
            with st.popover(this.desk.reviewer, icon=":material/tune:"):
                _settings(this)
    if this.words.note:
        st.caption(this.words.note)


def _settings(this: _Page) -> None:
    desk = this.desk
    _ask_name(desk, "reviewer", "Reviewer")
    counts = order.labels(desk.items)

    def only() -> None:
        desk.label = st.session_state["only"] or None

    st.selectbox(
        "Show only",
        ["", *counts],
        key="only",
        index=["", *counts].index(desk.label if desk.label in counts else ""),
        on_change=only,
        format_func=lambda code: f"{texts.name(this.taxonomy, code)} ({counts[code]})" if code else "everything",
    )
    if st.toggle("Export the log"):
        for form in export.FORMATS:
            data = export.text(desk.store, form)
            st.download_button(f"Download {form.upper()}", data, f"reviews.{form}", on_click="ignore")


# ------------------------------------------------------------------ picture and panel


def _work(this: _Page) -> None:
    desk = this.desk
    upcoming = desk.upcoming()
    if not upcoming:
        st.success(f"Everything is judged{' for this label' if desk.label else ''}. {texts.plain(desk.message)}")
        st.button("Undo", shortcut="U", key=f"undo-{desk.turn}", on_click=desk.undo, args=(desk.turn,))
        return
    item = upcoming[0]
    with st.container(horizontal=True, wrap=False, gap="medium", key="work"):
        with st.container(width=this.canvas_wh[0], key="picture"):
            seen = _picture(this, item)
        with st.container(width=_PANEL, key="panel"):
            _panel(this, item, visible=seen is not None)
    desk.shown(visible=seen is not None)
    for later in upcoming[1:3]:
        whole = later.verdict is Verdict.NOT_EXAMINED
        _viewer().prefetch(later, Camera(whole=whole, outline=desk.camera.outline), this.canvas_wh)


def _picture(this: _Page, item: Item) -> View | None:
    try:
        seen = _viewer().get(item, this.desk.camera, this.canvas_wh)
    except DataError as error:
        with st.container(height=this.canvas_wh[1], border=False):
            st.error(texts.plain(str(error)))
        return None
    st.image(seen.png, width=this.canvas_wh[0], output_format="PNG", alt=item.id)
    _view_keys(this, item, seen)
    return seen


def _view_keys(this: _Page, item: Item, seen: View) -> None:
    desk = this.desk

    def move(**change: int) -> None:
        desk.camera = view.moved(desk.camera, seen.size_wh, item.box, this.canvas_wh, **change)

    def whole() -> None:
        desk.camera = Camera(whole=not desk.camera.whole, outline=desk.camera.outline)

    def outline() -> None:
        desk.camera = replace(desk.camera, outline=not desk.camera.outline)

    place = "Place" if desk.camera.whole else "Whole"
    with st.container(horizontal=True, vertical_alignment="center", gap="xsmall", key="camera"):
        st.button("Outline", shortcut="B", key="outline", on_click=outline, disabled=item.box is None)
        st.button(place, shortcut="W", key="whole", on_click=whole, disabled=item.box is None)
        st.button("Nearer", shortcut="Z", key="nearer", on_click=move, kwargs={"zoom": 1})
        st.button("Farther", shortcut="X", key="farther", on_click=move, kwargs={"zoom": -1})
        for key, change in _PANS.items():
            st.button("", shortcut=key, key=f"pan-{key}", on_click=move, kwargs=change)
        st.caption(texts.scale(seen))


def _panel(this: _Page, item: Item, *, visible: bool) -> None:
    desk, name, headline = this.desk, texts.name(this.taxonomy, item.label), this.words.headline
    st.markdown(f"##### {texts.plain(headline(item, name) if headline else name)}")
    # Of fixed height: the buttons below must not move from item to item.
    with st.container(height=_FACTS_HEIGHT, border=False, gap="xsmall", key="facts"):
        st.markdown(f"{this.words.frame} {texts.plain(item.frame)}")
        if headline is None:
            st.html(texts.facts(item))
        for reason in item.reasons:
            if said := reason.removesuffix(this.words.note).rstrip("; "):
                st.caption(texts.plain(said))
        if headline is not None:
            st.html(texts.facts(item))
    if not desk.reviewer:
        _ask_name(desk, "name", "Your name")
    _verdict_keys(this, item, visible=visible)
    st.caption(texts.plain(desk.message))


def _verdict_keys(this: _Page, item: Item, *, visible: bool) -> None:
    desk, off, others = this.desk, not this.desk.reviewer, [c.code for c in this.taxonomy.labels if not c.ok]
    # Each turn has buttons of its own: a click meant for an earlier picture finds none.
    turn = desk.turn

    def judge(action: Action, label: str = "") -> None:
        desk.judge(turn, action, label, note=st.session_state.get(f"note-{turn}", ""))

    def choose() -> None:
        judge(Action.RELABEL, st.session_state[f"other-{turn}"])

    def button(place: Any, text: str, shortcut: str, action: Action, label: str = "", **more: Any) -> None:
        off_now = off or (action is Action.REJECT and not visible)
        key = f"{action}-{label}-{turn}"
        place.button(
            text, shortcut=shortcut, key=key, width="stretch", disabled=off_now,
            on_click=judge, args=(action, label), **more,
        )  # fmt: skip

    if item.verdict is Verdict.NOT_EXAMINED:
        button(st, "Stays not examined", "D", Action.CONFIRM, type="primary")
        button(st, this.words.inspected, "Shift+O", Action.REJECT)
    else:
        button(st, f"{this.words.agree}: {texts.name(this.taxonomy, item.label)}", "D", Action.CONFIRM, type="primary")
        button(st, this.words.nothing, "O", Action.REJECT)
    columns = st.columns(3, gap="xsmall")
    for place, (digit, code) in enumerate(zip(_DIGITS, this.digits or others, strict=False)):
        name = this.words.short.get(code, texts.name(this.taxonomy, code))
        button(columns[place % 3], name, digit, Action.RELABEL, code)
    left, right = st.columns(2, gap="xsmall")
    left.selectbox(
        this.words.another, others, index=None, key=f"other-{turn}", on_change=choose, disabled=off,
        format_func=lambda code: texts.name(this.taxonomy, code),
        placeholder=this.words.another.lower(), label_visibility="collapsed",
    )  # fmt: skip
    right.text_input("Note", key=f"note-{turn}", placeholder="note", label_visibility="collapsed", disabled=off)
    for column, text, shortcut, act in ((left, "Skip", "N", desk.skip), (right, "Undo", "U", desk.undo)):
        column.button(
            text, shortcut=shortcut, key=f"{text}-{turn}", width="stretch", disabled=off, on_click=act, args=(turn,)
        )
