"""Items and answers in, the words and small tables beside a picture out; what comes from a file is never markup."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from typing import Any

from shared.records import Review, Verdict
from shared.reporting.rates import percent
from shared.review.items import Item
from shared.wording import spoken
from verticals.medical import taxonomy
from verticals.medical.decide import NOT_EXCLUDED, POSSIBLE
from verticals.medical.reading.blind import CONFIDENCE, NO_TRIGGER, Answer, answer_of
from verticals.medical.reading.worklist import urgency_of
from verticals.medical.taxonomy import UNKNOWN, URGENCY

_LISTED = 0.01
_NOT_SAID = ("suggested urgency:", "possible:")
"""Reasons that the page says in other words."""
_TABLED = "unlikely, but the build had too few cases to exclude"
"""Likewise, where there is a table of the set."""


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
    elsewhere = (*_NOT_SAID, _TABLED) if NOT_EXCLUDED in item.payload.get("facts", {}) else _NOT_SAID
    return answers + [text for text in texts if text and not text.startswith(elsewhere)]


def set_table(item: Item) -> str:
    """The labels as an HTML table: what is possible, what only cannot be excluded, and what is likely all the same.

    Possible means here what it means for the decision. In each part the most urgent comes first: tier, name, and the
    percentage last.
    """
    facts = item.payload.get("facts", {})
    masses: Mapping[str, float] = facts.get("probabilities", {})
    if item.label == UNKNOWN or not masses:
        return ""
    tier = "tier" if str(facts.get("urgency_status", "")).startswith("signed") else "tier (proposed)"
    rows = []
    for number, (head, codes) in enumerate(_parts(item, masses)):
        nodes = sorted((taxonomy.nodes()[code] for code in codes), key=lambda node: (node.gravity, -masses[node.code]))
        cells = f"<th colspan='3'>{escape(head)}</th>"
        if not number:
            cells = f"<th>{tier}</th><th>{escape(head)}</th><th>as built</th>"
        rows.append(f"<tr>{cells}</tr>")
        rows += [
            f"<tr><td>{escape(URGENCY[node.urgency])}</td><td>{escape(node.name)}</td>"
            f"<td>{escape(percent(masses[node.code], digits=0))}</td></tr>"
            for node in nodes
        ]
    return f"<table class='set'>{''.join(rows)}</table>"


def _parts(item: Item, masses: Mapping[str, float]) -> Iterator[tuple[str, list[str]]]:
    """Head and labels of each part of the table."""
    facts, known = item.payload.get("facts", {}), [code for code in masses if taxonomy.find(code) is not None]
    raw = item.payload.get("possible")
    said = facts.get(POSSIBLE, raw)
    if said is None:
        yield "label", [code for code in known if masses[code] >= _LISTED]
        return
    possible = {node.code for word in said if (node := taxonomy.find(word)) is not None}
    unproven = set(facts.get(NOT_EXCLUDED, ()))
    yield "possible" if possible else "possible: no label of the bundle", [code for code in known if code in possible]
    if unproven:
        yield "unlikely, but too few cases in the build to exclude", [code for code in known if code in unproven]
    rest = [code for code in known if code not in possible | unproven and masses[code] >= _LISTED]
    if rest:
        yield "outside the prediction set", rest


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
        "judged": f"{verdict.at.replace('T', ' ').split('.')[0].split('+')[0]} UTC",
    }


def readings_table(statistics: Mapping[str, Mapping[str, Any]]) -> str:
    """What seeing the answer did, one column per reader."""
    said = {
        reader: {n: f"{v:g}" for n, v in own["counts"].items()} | {n: _rate(row) for n, row in own["rates"].items()}
        for reader, own in statistics.items()
    }
    names = list(dict.fromkeys(name for own in said.values() for name in own))
    return table([{"": spoken(n), **{r: own.get(n, "") for r, own in said.items()}} for n in names])


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
