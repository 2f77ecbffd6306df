"""Items and answers in, the words and small tables beside a picture out; what comes from a file is never markup."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from shared.records import Review, Verdict
from shared.reporting.rates import percent
from shared.review.items import Item
from verticals.medical import taxonomy
from verticals.medical.reading.blind import CONFIDENCE, NO_TRIGGER, Answer, answer_of
from verticals.medical.reading.worklist import urgency_of
from verticals.medical.taxonomy import UNKNOWN, URGENCY

_LISTED = 0.01
_NOT_SAID = ("suggested urgency:", "possible:")
"""Reasons that the page says in other words."""


def headline(item: Item, name: str = "") -> str:
    """The suggested urgency: what a clinician has to know first; what it looks like and percentages come after."""
    if item.verdict is Verdict.NOT_EXAMINED:
        return "NOT EXAMINED"
    urgency = urgency_of(item)
    if urgency is None:
        return f"Flagged; looks most like {name}" if name else "Flagged"
    return f"Suggested urgency: {URGENCY[urgency]}"


def said(answer: Answer) -> str:
    """What a reader says, for a person."""
    node = taxonomy.find(answer.label)
    parts = [node.name if node else {NO_TRIGGER: "no referral trigger"}.get(answer.label, answer.label)]
    parts += [URGENCY[answer.urgency]] if answer.urgency is not None else []
    parts += [CONFIDENCE[answer.confidence - 1]] if answer.confidence is not None else []
    return " · ".join(parts)


def reasons(item: Item, disclaimer: str) -> list[str]:
    """Who answers for the urgency, and why it is in the queue; without what stands on the page already."""
    status = item.payload.get("facts", {}).get("urgency_status")
    answers = [f"urgency: {status}"] if status and item.verdict is not Verdict.NOT_EXAMINED else []
    texts = [text for reason in item.reasons for text in reason.removesuffix(disclaimer).rstrip("; ").split("; ")]
    return answers + [text for text in texts if text and not text.startswith(_NOT_SAID)]


def set_table(item: Item) -> str:
    """The prediction set as an HTML table, the most urgent label first: tier, name, and the percentage last."""
    masses: Mapping[str, float] = item.payload.get("facts", {}).get("probabilities", {})
    if item.label == UNKNOWN or not masses:
        return ""
    possible = {node.code for word in item.payload.get("possible") or () if (node := taxonomy.find(word)) is not None}
    nodes = [n for n in map(taxonomy.find, masses) if n and (n.code in possible or masses[n.code] >= _LISTED)]
    rows = [
        (URGENCY[node.urgency], node.name + ("" if node.code in possible else " (outside the set)"), masses[node.code])
        for node in sorted(nodes, key=lambda node: (node.gravity, -masses[node.code]))
    ]
    body = "".join(
        f"<tr><td>{escape(tier)}</td><td>{escape(name)}</td><td>{100 * p:.0f} %</td></tr>" for tier, name, p in rows
    )
    signed = str(item.payload["facts"].get("urgency_status", "")).startswith("signed")
    tier = "tier" if signed else "tier (proposed)"
    return f"<table class='set'><tr><th>{tier}</th><th>possible</th><th></th></tr>{body}</table>"


def patient(facts: Mapping[str, str]) -> list[str]:
    """What is known of patient and place in a few words each, from :func:`verticals.medical.reading.visits.facts`."""
    said = {"age": "{} years", "skin type": "skin type {}"}
    words = [said.get(key, "{}").format(value) for key, value in facts.items()]
    return [word.removesuffix(" Image") for word in words]


def table(rows: Sequence[Mapping[str, str]]) -> str:
    """Rows with the same keys as an HTML table with a head."""
    if not rows:
        return ""
    head = "".join(f"<th>{escape(key)}</th>" for key in rows[0])
    body = "".join("<tr>" + "".join(f"<td>{escape(v)}</td>" for v in row.values()) + "</tr>" for row in rows)
    return f"<table class='list'><tr>{head}</tr>{body}</table>"


def to_sign(item: Item, verdict: Review) -> dict[str, str]:
    """One row of what waits for a signature."""
    return {
        "picture": item.frame,
        "you say": said(answer_of(verdict)),
        "the software": headline(item),
        "judged": verdict.at.replace("T", " ").split(".")[0],
    }


def readings_table(statistics: Mapping[str, Mapping[str, Any]]) -> str:
    """What seeing the answer did, one column per reader."""
    said = {
        reader: {n: f"{v:g}" for n, v in own["counts"].items()} | {n: _rate(row) for n, row in own["rates"].items()}
        for reader, own in statistics.items()
    }
    names = list(dict.fromkeys(name for own in said.values() for name in own))
    return table([{"": n.replace("_", " "), **{r: own.get(n, "") for r, own in said.items()}} for n in names])


def nearest(item: Item) -> list[tuple[str, str]]:
    """The build's pictures that look most like it: path, and label with similarity in words."""
    rows: Iterable[Mapping[str, Any]] = item.payload.get("nearest") or ()
    return [(str(row.get("path", "")), f"{_name(str(row['label']))}, {row['similarity']:.2f}") for row in rows]


def _name(word: str) -> str:
    node = taxonomy.find(word)
    return node.name if node else word


def _rate(row: Mapping[str, Any]) -> str:
    if row["value"] is None:
        return "none"
    return f"{percent(row['value'])} [{percent(row['low'])} .. {percent(row['high'])}] n={row['n']}"
