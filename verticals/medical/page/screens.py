"""What the page shows in place of a picture: the worklist, and the reports that wait for a signature."""

from datetime import datetime
from pathlib import Path

import streamlit as st

from shared.records import Review
from shared.review import texts
from shared.review.items import Item
from shared.review.ui import Page
from shared.wording import counted
from verticals.medical.reading import agreement, reports, telling, worklist
from verticals.medical.reading import sign_off as signing

_STYLE = """<style>
table.set, table.list {border-collapse: collapse; font-size: 0.85rem; font-variant-numeric: tabular-nums; margin: 0}
table.set {width: 100%} table.set th, table.list th {text-align: left; font-weight: 400; opacity: 0.7}
table.set td, table.set th {border: none; padding: 0 0.4rem 0 0; vertical-align: top}
table.set td:first-child {font-weight: 600; white-space: nowrap}
table.set td:last-child, table.set th:nth-child(3) {text-align: right; white-space: nowrap}
.st-key-facts {overflow-y: scroll; scrollbar-width: auto; scrollbar-color: #888 #ddd; padding-bottom: 1rem;
  mask-image: linear-gradient(to bottom, black calc(100% - 1rem), transparent)}
.st-key-facts p, .st-key-facts table.set {font-size: 0.8rem; line-height: 1.25}
table.list td, table.list th {padding: 0.15rem 1.2rem 0.15rem 0; border-bottom: 1px solid rgba(128,128,128,0.25)}
</style>"""
_FEW = 200


def style() -> None:
    """Of the tables, and of the facts: small enough for most to be seen at once, and fading where there is more."""
    st.html(_STYLE)


def html(body: str) -> None:
    """A table of :mod:`verticals.medical.reading.telling`."""
    if body:  # Streamlit refuses an empty one
        st.html(body)


def waiting(this: Page, *, hidden: bool) -> None:
    """The worklist and, where readings came before answers, what seeing the answer did.

    Args:
        this: The page.
        hidden: Whether the order and the table must say nothing of the answers.
    """
    desk = this.desk
    upcoming = desk.upcoming()
    rule = "by waiting time alone, so that the order says nothing of the answers" if hidden else "by urgency"
    st.markdown(f"##### Worklist: {counted(len(upcoming), 'picture')}, {rule}")
    st.caption(
        "Waiting is counted from arrival in the review store; of equals what has waited longest comes first. Number 1 "
        "is on the screen now, the others come up in the order of their numbers: what was skipped comes last."
    )
    if len(upcoming) > _FEW:
        st.caption(f"The first {_FEW} stand in the table; the other {len(upcoming) - _FEW} wait behind them.")
    html(telling.table(worklist.table(upcoming, desk.arrivals, hidden=hidden)[:_FEW]))
    if pairs := agreement.pairs([*desk.readings.values(), *desk.standing.values()]):
        st.markdown("##### What seeing the answer did (95 % intervals)")
        html(telling.readings_table(agreement.of_items(pairs, desk.items)))


def sign_off(this: Page, folder: reports.Folder | None, beside: Path) -> None:
    """The reports that wait for this reader's signature, and the fields of a signature.

    Args:
        this: The page.
        folder: The reports, None where there are none.
        beside: Where they would lie.
    """
    st.markdown("##### Sign off")
    for item in this.desk.items:
        # Their own alone: another's signature would tell a reader who is yet to read blind.
        row = this.desk.signed.get(item.id)
        own = row is not None and row.reviewer == this.desk.reviewer
        if own and (said := signing.outdated(this.desk, item)):
            st.error(texts.plain(f"{item.frame}: {said}."))
    if folder is None:
        others = ", ".join(str(path) for path in reports.folders_in(beside.parent))
        there = f" There are reports in {texts.plain(others)}." if others else ""
        st.info(
            f"There are no reports in {texts.plain(str(beside))}.{there} Write them with `loupe structured-report "
            'FINDINGS SOURCE --bundle BUNDLE -o reports`, or name the folder that holds them: `reports = "FOLDER"` '
            "in the file that `loupe review` gets after `--policy`."
        )
        return
    st.caption(f"Reports in {texts.plain(str(folder.path))}")
    ready, hindered = signing.waiting(this.desk, folder)
    html(telling.table([telling.to_sign(item, verdict) for item, verdict in ready]))
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
        signature = signing.Signature(family, given, organisation, datetime.now().astimezone())
        st.session_state["signed"] = signing.sign_all(this.desk.store, folder, ready, signature)

    columns = st.columns(3)
    for column, (key, label) in zip(
        columns, {"family": "Family name", "given": "Given names", "organisation": "Organisation"}.items(), strict=True
    ):
        column.text_input(label, key=key)
    st.caption(
        "I have looked at each of these pictures and answer for these reports. A verified report is final: a verdict "
        "that is taken back later needs a new report, which supersedes it."
    )
    st.button(f"Sign {counted(len(ready), 'report')}", key="sign", type="primary", on_click=sign)
