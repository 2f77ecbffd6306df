"""The reading before the answer is shown: three questions, one key each, and a row in the log at the end."""

import time
from collections.abc import Mapping

import streamlit as st

from shared.records import Action
from shared.review import texts
from shared.review.desk import LOOK_S
from shared.review.items import Item
from shared.review.ui import Page
from verticals.medical.reading import blind
from verticals.medical.taxonomy import URGENCY


def draft(turn: int) -> blind.Draft:
    """The reading under way; a new one where the page has moved on."""
    known: blind.Draft = st.session_state.get("draft", blind.Draft(-1))
    if known.turn != turn:
        known = st.session_state["draft"] = blind.Draft(turn, since=time.monotonic())
    return known


def back() -> None:
    """One question back."""
    st.session_state["draft"] = st.session_state["draft"].back(time.monotonic())


def keys(this: Page, item: Item, draft: blind.Draft, *, short: Mapping[str, str], nothing: str, off: bool) -> None:
    """The keys of the question that is asked now; the answer to the last one is written down.

    Args:
        this: The page.
        item: What is looked at.
        draft: What was said so far.
        short: Labels on the keys 1 to 9, and what is written on them.
        nothing: What is written on the key that names no label.
        off: Whether nobody can answer now.
    """
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
        st.button(nothing, shortcut="O", key=f"own-none-{turn}", width="stretch", disabled=off,
                  on_click=say, args=(blind.NO_TRIGGER,))  # fmt: skip
        columns = st.columns(3, gap="xsmall")
        for place, (code, name) in enumerate(short.items()):
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
