"""The clinicians' page: findings of a review store in, signed verdicts out; decision support, never a diagnosis.

Started by ``loupe review medical``, or ``streamlit run verticals/medical/app.py -- --store FILE``.
"""

import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import streamlit as st

HERE = Path(__file__).resolve().parent
# Streamlit puts this folder first on sys.path: there decide.py would pass for anybody's module of that name.
sys.path[:] = [p for p in sys.path if not p or Path(p).resolve() != HERE]
if str(HERE.parents[1]) not in sys.path:
    sys.path.append(str(HERE.parents[1]))

from shared import taxonomy  # noqa: E402
from shared.errors import DataError  # noqa: E402
from shared.records import Action, Verdict  # noqa: E402
from shared.review import launch, texts, ui  # noqa: E402
from shared.review.items import Item  # noqa: E402
from shared.review.ui import Page  # noqa: E402
from verticals.medical.page import asking, screens  # noqa: E402
from verticals.medical.reading import (  # noqa: E402
    blind,
    frequency,
    page_policy,
    reports,
    sign_off,
    telling,
    timeline,
    visits,
    worklist,
)
from verticals.medical.taxonomy import URGENCY  # noqa: E402
from verticals.medical.triage import DISCLAIMER  # noqa: E402

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
NOTHING = "No referral trigger seen"
WORDS = ui.Words(
    frame="Picture",
    how_to_get_items=(
        "Get findings with `loupe predict BUNDLE SOURCE -o findings.jsonl`, then open them with "
        "`loupe review medical --findings findings.jsonl`; without a model: `loupe queue SAMPLES`, then "
        f"`loupe review medical`. {DISCLAIMER}"
    ),
    note=DISCLAIMER,
    agree="Agree, looks like",
    nothing=NOTHING,
    inspected="No referral trigger: I looked at the patient",
    nothing_code=blind.NO_TRIGGER,
    another="Another label",
    headline=telling.headline,
    short=SHORT,
)
_FACTS = 222
OPTIONS = launch.options([])
POLICY = page_policy.PagePolicy()


@st.cache_resource(show_spinner=False)
def _scratch() -> "tempfile.TemporaryDirectory[str]":
    return tempfile.TemporaryDirectory(prefix="loupe-visits-")


def _folder() -> reports.Folder | None:
    return reports.read(POLICY.reports_beside(OPTIONS.store))


def _blind_first() -> bool:
    # Where the site demands it nobody switches it off; otherwise it is the reader's choice.
    return POLICY.blind_first or bool(st.session_state.setdefault("blind", st.query_params.get("blind") == "1"))


@st.cache_resource(show_spinner=False)
def _seen() -> set[tuple[str, str, str]]:
    """Reader, item and its digest for each answer that was on a screen: a page that is loaded again forgets nothing."""
    return set()


def _hides(this: Page, item: Item) -> bool:
    # An answer that was on the screen cannot be unseen: what is said after it is no reading.
    here = item.id in st.session_state.setdefault("seen", set())
    seen = here or (this.desk.reviewer, item.id, item.digest) in _seen()
    return _blind_first() and this.desk.reading(item) is None and not seen


def _mode(this: Page) -> str:
    turn, word = st.session_state.get("mode", (-1, ""))
    return str(word) if turn == this.desk.turn else ""


# ------------------------------------------------------------------ top line and other screens


def _top(this: Page) -> None:
    def switch() -> None:
        st.session_state["blind"] = not _blind_first()
        st.query_params["blind"] = "1" if _blind_first() else "0"
        this.desk.label = None
        this.desk.rearrange(_order())

    def screen(name: str) -> None:
        st.session_state["screen"] = "" if st.session_state.get("screen") == name else name

    screens.style()
    words = f"Blind first: {'on' if _blind_first() else 'off'}"
    st.button(words, shortcut="Shift+B", key="blind-key", on_click=switch, disabled=POLICY.blind_first)
    st.button("Worklist", shortcut="L", key="list-key", on_click=screen, args=("list",))
    st.button("Sign off", shortcut="S", key="sign-key", on_click=screen, args=("sign",))


def _order() -> worklist.Arrange:
    return worklist.by_waiting if _blind_first() else worklist.by_urgency


def _instead(this: Page) -> bool:
    screen = st.session_state.get("screen", "")
    if not screen:
        return False
    this.desk.away()
    with st.container(height=this.canvas_wh[1] + 40, border=False):
        if screen == "list":
            screens.waiting(this, hidden=_blind_first())
        else:
            screens.sign_off(this, _folder(), POLICY.reports_beside(OPTIONS.store))
    return True


# ------------------------------------------------------------------ picture


def _look(this: Page, item: Item) -> Item:
    st.session_state["visit notes"] = ()
    if _mode(this) == "map" and not _hides(this, item) and (path := reports.map_of(_folder(), item)):
        return replace(item, image=str(path), box=None)
    if _mode(this) == "visits":
        try:
            path, notes = timeline.draw(visits.visits(item.image, item.frame), item.frame, Path(_scratch().name))
        except DataError as error:
            st.session_state["visit notes"] = (str(error),)
            return item
        st.session_state["visit notes"] = notes
        return replace(item, image=str(path), box=None)
    return item


def _picture_keys(this: Page, item: Item) -> None:
    desk, hidden = this.desk, _hides(this, item)
    others = len(visits.visits(item.image, item.frame))

    def show(word: str) -> None:
        st.session_state["mode"] = (desk.turn, "" if _mode(this) == word else word)

    with st.container(horizontal=True, gap="xsmall", key="modes"):
        off = hidden or reports.map_of(_folder(), item) is None
        st.button("Map", shortcut="M", key="map", on_click=show, args=("map",), disabled=off)
        text = f"Visits ({others})" if others > 1 else "Visits"
        st.button(text, shortcut="T", key="visits", on_click=show, args=("visits",), disabled=others < 2)
        if not hidden:
            st.selectbox(
                "Your urgency", range(len(URGENCY)), index=None, key=f"urgency-{desk.turn}",
                format_func=lambda u: URGENCY[u], placeholder="your urgency", label_visibility="collapsed",
                disabled=not desk.reviewer,
            )  # fmt: skip


def _about(this: Page, item: Item) -> None:
    for note in st.session_state.get("visit notes", ()):
        st.caption(texts.plain(note))
    known = [item.frame, *telling.patient(visits.facts(item.image, item.frame))]
    st.caption(texts.plain(" · ".join([*known, f"waiting {worklist.waited(this.desk.arrivals.get(item.id))}"])))


# ------------------------------------------------------------------ panel


def _panel(this: Page, item: Item, visible: bool) -> bool:
    # Of what could not be read nobody can say anything first, and that nothing was examined gives no answer away.
    unread = item.verdict is Verdict.NOT_EXAMINED and not visible
    if _hides(this, item) and not unread:
        _ask(this, item, visible)
    else:
        _answer(this, item, visible)
    return True


def _ask(this: Page, item: Item, visible: bool) -> None:
    desk, turn = this.desk, this.desk.turn
    draft = asking.draft(turn)
    st.markdown("##### Your reading, before the answer")
    _picture_keys(this, item)
    with st.container(height=110, border=False, gap="xsmall", key="facts"):
        _about(this, item)
    ui.ask_name(this)
    so_far = [telling.said(blind.Answer(draft.label, draft.urgency))] if draft.label else []
    question = {"label": "What is it?", "urgency": "How urgent is it?", "confidence": "How sure are you?"}[draft.asks]
    st.markdown(f"**{question}** {texts.plain(' '.join(so_far))}")
    asking.keys(this, item, draft, short=SHORT, nothing=NOTHING, off=not desk.reviewer or not visible)
    left, middle, right = st.columns(3, gap="xsmall")
    left.button(
        "Back", shortcut="Esc", key=f"back-{turn}", width="stretch", disabled=draft.label is None, on_click=asking.back
    )
    for column, text, key, act in ((middle, "Skip", "N", desk.skip), (right, "Undo", "U", desk.undo)):
        column.button(text, shortcut=key, key=f"{text}-{turn}", width="stretch", on_click=act, args=(turn,))
    st.caption(texts.plain(desk.message))


def _answer(this: Page, item: Item, visible: bool) -> None:
    desk, turn = this.desk, this.desk.turn
    row = desk.reading(item)
    own = blind.answer_of(row) if row is not None else None
    st.session_state["seen"].add(item.id)
    if desk.reviewer:
        _seen().add((desk.reviewer, item.id, item.digest))
    st.markdown(f"##### {texts.plain(telling.headline(item, texts.name(this.taxonomy, item.label)))}")
    _picture_keys(this, item)
    with st.container(height=_FACTS - 40 * (own is not None), border=False, gap="xsmall", key="facts"):
        if said := sign_off.outdated(desk, item):
            st.error(texts.plain(said))
        _grounds(item)
        _about(this, item)
    ui.ask_name(this)

    def noted(action: Action, label: str, typed: str) -> str:
        urgency = st.session_state.get(f"urgency-{turn}")
        return blind.note(blind.final(action, label, item, own, urgency, typed))

    if own is not None:
        _keep_key(this, item, own, off=not visible and item.verdict is not Verdict.NOT_EXAMINED)
    ui.verdict_keys(this, item, visible=visible, must_see=True, noted=noted)
    st.caption(texts.plain(desk.message))


def _keep_key(this: Page, item: Item, own: blind.Answer, *, off: bool) -> None:
    turn = this.desk.turn

    def keep() -> None:
        action = Action.REJECT if own.label == blind.NO_TRIGGER else Action.RELABEL
        typed = st.session_state.get(f"note-{turn}", "").strip()
        this.desk.judge(turn, action, own.label, note=blind.note(replace(own, text=typed)))

    st.button(
        f"Keep mine: {telling.said(own)}",
        shortcut="K",
        key=f"keep-{turn}",
        width="stretch",
        disabled=off,
        on_click=keep,
    )


def _grounds(item: Item) -> None:
    folder = _folder()
    study = POLICY.study_prevalence or (folder.study_prevalence if folder is not None else 0.0)
    if said := frequency.of_item(item, study, POLICY.clinic):
        st.caption(said)
    screens.html(telling.set_table(item))
    for reason in telling.reasons(item, DISCLAIMER):
        st.caption(texts.plain(reason))
    alike = telling.nearest(item) if item.verdict is Verdict.FLAG else []
    if alike:
        st.caption("Confirmed pictures of the build that look most like it (similarity at most 1)")
        for column, (path, words) in zip(st.columns(len(alike)), alike, strict=True):
            file = Path(POLICY.cases) / path if POLICY.cases and path else None
            if file is not None and file.is_file():
                column.image(str(file))
            column.caption(texts.plain(words))


with ui.errors():
    OPTIONS = launch.options(sys.argv[1:])
    POLICY = page_policy.load(OPTIONS.policy)
    ui.page(
        "Skin triage",
        taxonomy.load(HERE / "labels.toml"),
        options=OPTIONS,
        words=WORDS,
        digits=tuple(SHORT),
        parts=ui.Parts(arrange=_order(), hidden=_blind_first, top=_top, instead=_instead, view=_look, panel=_panel),
    )
