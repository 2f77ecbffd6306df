"""The Streamlit parts of a review page: a taxonomy and a store in, a page that a person works at all day out."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import streamlit as st

from shared.errors import DataError, LoupeError
from shared.records import Action, Verdict
from shared.review import export, order, texts, view
from shared.review.desk import Arrange, Desk
from shared.review.items import Item
from shared.review.launch import Options
from shared.review.parts import Page, Parts, Words
from shared.review.store import Store
from shared.review.view import Camera, View, Viewer
from shared.taxonomy import Taxonomy

__all__ = ["Page", "Parts", "Words", "ask_name", "errors", "page", "verdict_keys"]
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


def page(
    title: str,
    taxonomy: Taxonomy,
    *,
    options: Options,
    words: Words | None = None,
    digits: Sequence[str] = (),
    parts: Parts | None = None,
) -> None:
    """The whole page; call it once from an ``app.py``.

    Args:
        title: Name of the page.
        taxonomy: Labels that a person can give.
        options: Store and reviewer.
        words: How the vertical calls things.
        digits: Codes on the keys 1 to 9; the first nine of the taxonomy where none are given.
        parts: What the vertical does otherwise.
    """
    st.set_page_config(page_title=title, layout="wide")
    st.html(_STYLE)
    with errors():
        words, parts = words or Words(), parts or Parts()
        desk = _desk(taxonomy, options, words, parts.arrange)
        desk.refresh()
        this = Page(desk, taxonomy, words, digits, _canvas(_NOTE_HEIGHT if words.note else 0), parts)
        if not desk.items:
            st.title(title)
            st.info(f"There is nothing to review in {texts.plain(desk.store.where)}. {this.words.how_to_get_items}")
            return
        _top(this, title)
        if parts.instead is None or not parts.instead(this):
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


def _desk(taxonomy: Taxonomy, options: Options, words: Words, arrange: Arrange | None) -> Desk:
    if "desk" not in st.session_state:
        severity = {label.code: label.severity for label in taxonomy.labels}
        ok = taxonomy.ok.code if taxonomy.ok else words.nothing_code

        def named(code: str) -> str:
            return words.nothing if code == ok else texts.name(taxonomy, code)

        store = _store(options.store)
        desk = Desk(store, severity=severity, ok_label=ok, code=taxonomy.code, named=named, arrange=arrange)
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


def _top(this: Page, title: str) -> None:
    done = order.progress(this.desk.items, this.desk.standing)
    with st.container(horizontal=True, vertical_alignment="center", key="top"):
        st.markdown(f"**{title}**", width="content")
        st.progress(done.done / max(done.total, 1), text=texts.progress(done))
        if this.parts.top is not None:
            this.parts.top(this)
        if this.desk.reviewer:
            with st.popover(this.desk.reviewer, icon=":material/tune:"):
                _settings(this)
    if this.words.note:
        st.caption(this.words.note)


def _settings(this: Page) -> None:
    desk = this.desk
    _ask_name(desk, "reviewer", "Reviewer")
    if this.parts.hidden is None or not this.parts.hidden():
        _filter(this)
    if st.toggle("Export the log"):
        for form in export.FORMATS:
            data = export.text(desk.store, form)
            st.download_button(f"Download {form.upper()}", data, f"reviews.{form}", on_click="ignore")


def _filter(this: Page) -> None:
    desk = this.desk
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


# ------------------------------------------------------------------ picture and panel


def _work(this: Page) -> None:
    desk = this.desk
    upcoming = desk.upcoming()
    if not upcoming and desk.elsewhere:
        st.info(f"What waits ({desk.elsewhere}) is on the screens of others. {texts.plain(desk.message)}")
        st.button("Look again", shortcut="N", key=f"again-{desk.turn}")
        _undo_key(desk)
        return
    if not upcoming:
        st.success(f"Everything is judged{' for this label' if desk.label else ''}. {texts.plain(desk.message)}")
        _undo_key(desk)
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


def _undo_key(desk: Desk) -> None:
    st.button("Undo", shortcut="U", key=f"undo-{desk.turn}", on_click=desk.undo, args=(desk.turn,))


def _picture(this: Page, item: Item) -> View | None:
    drawn = this.parts.view(this, item) if this.parts.view is not None else item
    try:
        seen = _viewer().get(item, this.desk.camera, this.canvas_wh, drawn=drawn)
    except DataError as error:
        with st.container(height=this.canvas_wh[1], border=False):
            st.error(texts.plain(str(error)))
        return None
    st.image(seen.png, width=this.canvas_wh[0], output_format="PNG", alt=item.id)
    _view_keys(this, drawn, seen)
    return seen


def _view_keys(this: Page, item: Item, seen: View) -> None:
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


def _panel(this: Page, item: Item, *, visible: bool) -> None:
    if this.parts.panel is not None and this.parts.panel(this, item, visible):
        return
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
    ask_name(this)
    verdict_keys(this, item, visible=visible)
    st.caption(texts.plain(desk.message))


def ask_name(this: Page) -> None:
    """Who judges, where that is not known."""
    if not this.desk.reviewer:
        _ask_name(this.desk, "name", "Your name")


def verdict_keys(
    this: Page,
    item: Item,
    *,
    visible: bool,
    must_see: bool = False,
    noted: Callable[[Action, str, str], str] | None = None,
) -> None:
    """The keys of a verdict.

    Args:
        this: The page.
        item: The item on the screen.
        visible: Whether its picture could be drawn.
        must_see: Whether every verdict on what the machine has examined needs the picture, and not OK alone.
        noted: What is written down beside a verdict, from its action, label and the typed note.
    """
    desk, others = this.desk, [c.code for c in this.taxonomy.labels if not c.ok]
    off = not desk.reviewer
    unseen = not visible and must_see and item.verdict is not Verdict.NOT_EXAMINED
    # Each turn has buttons of its own: a click meant for an earlier picture finds none.
    turn = desk.turn

    def judge(action: Action, label: str = "") -> None:
        typed = st.session_state.get(f"note-{turn}", "").strip()
        desk.judge(turn, action, label, note=noted(action, label, typed) if noted else typed)

    def choose() -> None:
        judge(Action.RELABEL, st.session_state[f"other-{turn}"])

    def button(place: Any, text: str, shortcut: str, action: Action, label: str = "", **more: Any) -> None:
        off_now = off or unseen or (action is Action.REJECT and not visible)
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
        this.words.another, others, index=None, key=f"other-{turn}", on_change=choose, disabled=off or unseen,
        format_func=lambda code: texts.name(this.taxonomy, code),
        placeholder=this.words.another.lower(), label_visibility="collapsed",
    )  # fmt: skip
    right.text_input("Note", key=f"note-{turn}", placeholder="note", label_visibility="collapsed", disabled=off)
    for column, text, shortcut, act in ((left, "Skip", "N", desk.skip), (right, "Undo", "U", desk.undo)):
        column.button(
            text, shortcut=shortcut, key=f"{text}-{turn}", width="stretch", disabled=off, on_click=act, args=(turn,)
        )
