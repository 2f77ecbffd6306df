"""The clinicians' page: findings of a review store in, signed verdicts out; decision support, never a diagnosis.

Started by ``loupe review medical``, or ``streamlit run verticals/medical/app.py -- --store FILE``.
"""

import sys
import tempfile
import time
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import streamlit as st

HERE = Path(__file__).resolve().parent
# Streamlit puts this folder first on sys.path: there decide.py would pass for anybody's module of that name.
sys.path[:] = [p for p in sys.path if not p or Path(p).resolve() != HERE]
if str(HERE.parents[1]) not in sys.path:
    sys.path.append(str(HERE.parents[1]))

from shared import taxonomy  # noqa: E402
from shared.errors import DataError  # noqa: E402
from shared.records import Action, Review, Verdict  # noqa: E402
from shared.review import launch, texts, ui  # noqa: E402
from shared.review.desk import LOOK_S  # noqa: E402
from shared.review.items import Item  # noqa: E402
from shared.review.ui import Page  # noqa: E402
from verticals.medical.reading import (  # noqa: E402
    agreement,
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
STYLE = """<style>
table.set, table.list {border-collapse: collapse; font-size: 0.85rem; font-variant-numeric: tabular-nums; margin: 0}
table.set {width: 100%} table.set th, table.list th {text-align: left; font-weight: 400; opacity: 0.7}
table.set td, table.set th {border: none; padding: 0 0.4rem 0 0; vertical-align: top}
table.set td:first-child {font-weight: 600; white-space: nowrap}
table.set td:last-child {text-align: right; white-space: nowrap}
table.list td, table.list th {padding: 0.15rem 1.2rem 0.15rem 0; border-bottom: 1px solid rgba(128,128,128,0.25)}
</style>"""
_FACTS, _FEW = 222, 200
OPTIONS = launch.options([])
POLICY = page_policy.PagePolicy()


@st.cache_resource(show_spinner=False)
def _scratch() -> "tempfile.TemporaryDirectory[str]":
    return tempfile.TemporaryDirectory(prefix="loupe-visits-")


def _html(body: str) -> None:
    if body:  # Streamlit refuses an empty one
        st.html(STYLE + body)


def _folder() -> reports.Folder | None:
    return reports.read(POLICY.reports_beside(OPTIONS.store))


def _blind_first() -> bool:
    # Where the site demands it nobody switches it off; otherwise it is the reader's choice.
    return POLICY.blind_first or bool(st.session_state.setdefault("blind", st.query_params.get("blind") == "1"))


def _hides(this: Page, item: Item) -> bool:
    # An answer that was on the screen cannot be unseen: what is said after it is no reading.
    seen = item.id in st.session_state.setdefault("seen", set())
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
        show = _show_list if screen == "list" else _show_sign_off
        show(this)
    return True


def _show_list(this: Page) -> None:
    desk = this.desk
    waiting = desk.upcoming()
    rule = "by waiting time alone, so that the order says nothing of the answers" if _blind_first() else "by urgency"
    st.markdown(f"##### Worklist: {len(waiting)} pictures, {rule}")
    st.caption("Waiting is counted from arrival in the review store; what has waited longest comes first.")
    _html(telling.table(worklist.table(waiting[:_FEW], desk.arrivals, hidden=_blind_first())))
    if pairs := agreement.pairs([*desk.readings.values(), *desk.standing.values()]):
        st.markdown("##### What seeing the answer did (95 % intervals)")
        _html(telling.readings_table(agreement.of_items(pairs, desk.items)))


def _show_sign_off(this: Page) -> None:
    folder = _folder()
    st.markdown("##### Sign off")
    if folder is None:
        st.info(
            f"There are no reports in {texts.plain(str(POLICY.reports_beside(OPTIONS.store)))}. Write them with "
            "`loupe structured-report FINDINGS SOURCE --bundle BUNDLE -o reports`."
        )
        return
    ready, hindered = sign_off.waiting(this.desk, folder)
    _html(telling.table([telling.to_sign(item, verdict) for item, verdict in ready]))
    for sentence in hindered:
        st.caption(texts.plain(sentence))
    if ready:
        _signature_fields(this, folder, ready)
    else:
        st.caption("There is no verdict of yours that waits for a signature. Only what you have looked at is signed.")
    st.caption(texts.plain(st.session_state.get("signed", "")))


def _signature_fields(this: Page, folder: reports.Folder, ready: list[tuple[Item, Review]]) -> None:
    def sign() -> None:
        family, given, organisation = (st.session_state.get(key, "") for key in ("family", "given", "organisation"))
        signature = sign_off.Signature(family, given, organisation, datetime.now().astimezone())
        st.session_state["signed"] = sign_off.sign_all(this.desk.store, folder, ready, signature)

    columns = st.columns(3)
    for column, (key, label) in zip(
        columns, {"family": "Family name", "given": "Given names", "organisation": "Organisation"}.items(), strict=True
    ):
        column.text_input(label, key=key)
    st.caption(
        "I have looked at each of these pictures and answer for these reports. A verified report is final: a verdict "
        "that is taken back later needs a new report, which supersedes it."
    )
    count = f"{len(ready)} report{'s' if len(ready) > 1 else ''}"
    st.button(f"Sign {count}", key="sign", type="primary", on_click=sign)


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
    if _hides(this, item):
        _ask(this, item, visible)
    else:
        _answer(this, item, visible)
    return True


def _ask(this: Page, item: Item, visible: bool) -> None:
    desk, turn = this.desk, this.desk.turn
    draft: blind.Draft = st.session_state.get("draft", blind.Draft(-1))
    if draft.turn != turn:
        draft = st.session_state["draft"] = blind.Draft(turn, since=time.monotonic())
    st.markdown("##### Your reading, before the answer")
    _picture_keys(this, item)
    with st.container(height=110, border=False, gap="xsmall", key="facts"):
        _about(this, item)
    ui.ask_name(this)
    so_far = [telling.said(blind.Answer(draft.label, draft.urgency))] if draft.label else []
    question = {"label": "What is it?", "urgency": "How urgent is it?", "confidence": "How sure are you?"}[draft.asks]
    st.markdown(f"**{question}** {texts.plain(' '.join(so_far))}")
    _ask_keys(this, item, draft, off=not desk.reviewer or not visible)
    left, middle, right = st.columns(3, gap="xsmall")
    left.button(
        "Back", shortcut="Esc", key=f"back-{turn}", width="stretch", disabled=draft.label is None, on_click=_back
    )
    for column, text, key, act in ((middle, "Skip", "N", desk.skip), (right, "Undo", "U", desk.undo)):
        column.button(text, shortcut=key, key=f"{text}-{turn}", width="stretch", on_click=act, args=(turn,))
    st.caption(texts.plain(desk.message))


def _back() -> None:
    st.session_state["draft"] = st.session_state["draft"].back(time.monotonic())


def _ask_keys(this: Page, item: Item, draft: blind.Draft, *, off: bool) -> None:
    turn, asks = this.desk.turn, draft.asks

    def say(value: str | int) -> None:
        present: blind.Draft = st.session_state["draft"]
        late = time.monotonic() - present.since
        if present.turn != turn or present.asks != asks or late < LOOK_S:
            return
        st.session_state["draft"] = present.said(value, time.monotonic())

    def commit(confidence: int) -> None:
        present: blind.Draft = st.session_state["draft"]
        if present.turn != turn or present.asks != asks or present.label is None:
            return
        own = blind.Answer(present.label, present.urgency, confidence)
        alone = Action.REJECT if own.label == blind.NO_TRIGGER else Action.RELABEL
        unscored = item.payload.get("facts", {}).get("model") == "none"
        this.desk.commit(turn, own.label, blind.note(own), verdict=alone if unscored else None)

    def chosen() -> None:
        say(st.session_state[f"own-{turn}"])

    if asks == "label":
        st.button(NOTHING, shortcut="O", key=f"own-none-{turn}", width="stretch", disabled=off,
                  on_click=say, args=(blind.NO_TRIGGER,))  # fmt: skip
        columns = st.columns(3, gap="xsmall")
        for place, (code, name) in enumerate(SHORT.items()):
            columns[place % 3].button(name, shortcut=str(place + 1), key=f"own-{code}-{turn}", width="stretch",
                                      disabled=off, on_click=say, args=(code,))  # fmt: skip
        st.selectbox(
            "Another label", [label.code for label in this.taxonomy.labels], index=None, key=f"own-{turn}",
            on_change=chosen, disabled=off, format_func=lambda code: texts.name(this.taxonomy, code),
            placeholder="another label", label_visibility="collapsed",
        )  # fmt: skip
        return
    words, act, first = (URGENCY, say, 0) if asks == "urgency" else (blind.CONFIDENCE, commit, 1)
    for place, word in enumerate(words):
        st.button(word, shortcut=str(place + 1), key=f"{asks}-{place}-{turn}", width="stretch", disabled=off,
                  on_click=act, args=(place + first,))  # fmt: skip


def _answer(this: Page, item: Item, visible: bool) -> None:
    desk, turn = this.desk, this.desk.turn
    row = desk.reading(item)
    own = blind.answer_of(row) if row is not None else None
    st.session_state["seen"].add(item.id)
    st.markdown(f"##### {texts.plain(telling.headline(item, texts.name(this.taxonomy, item.label)))}")
    _picture_keys(this, item)
    with st.container(height=_FACTS - 40 * (own is not None), border=False, gap="xsmall", key="facts"):
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
    if said := frequency.of_item(item, study, POLICY.prevalence):
        st.caption(said)
    _html(telling.set_table(item))
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
