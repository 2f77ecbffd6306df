"""Kept results to Markdown: per set one row per tool, with the paired difference to Loupe."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from shared.reporting import rates
from shared.reporting.paired import Difference, paired

LOUPE = "loupe"
HEAD = (
    "| tool | version | starting weights | trained s | all s | CPU s | balanced accuracy % "
    "| Loupe minus it, points | note |\n"
    "| --- | --- | --- | --- | --- | --- | --- | --- | --- |"
)
OVER = 1.1
"""More than this part of the budget until the model is ready is told."""
SHARED = 0.25
"""More than so many cores used by other processes is told."""
Record = Mapping[str, Any]


def newest(records: Sequence[Record], sets: Sequence[str], tools: Sequence[str]) -> list[Record]:
    """The last record of each set, tool, budget, seed and options."""
    keys = ("set", "tool", "budget", "seed", "options")
    last = {tuple(r[k] for k in keys): r for r in records if r["set"] in sets and r["tool"] in tools}
    return list(last.values())


def markdown(records: Sequence[Record]) -> str:
    """One table for each set, budget and seed."""
    heads = list(dict.fromkeys((r["set"], r["budget"], r["seed"]) for r in records))
    return "\n\n".join(
        _one(*head, [r for r in records if (r["set"], r["budget"], r["seed"]) == head]) for head in heads
    )


def _one(name: str, budget: float, seed: int, records: Sequence[Record]) -> str:
    ours = [r for r in records if r["tool"] == LOUPE and "cases" in r]
    reference = ours[-1] if ours else None
    rows, compared = [], []
    for record in records:
        head = (
            f"| {record['tool']}{' ' + record['options'] if record['options'] else ''} | {record.get('version', '')} "
        )
        if "cases" not in record:
            rows.append(f"{head}| | | | | | | did not run: {record['reason']} |")
            continue
        measured = measure(record)
        difference = ""
        if reference is not None and record is not reference:
            found = against(reference, record)
            if found is None:
                difference = "other test images: run both again"
            else:
                compared.append((measured["value"], record["tool"], found))
                difference = f"{100 * found.value:+.1f} [{100 * found.low:+.1f} .. {100 * found.high:+.1f}]"
        times = " | ".join(f"{record[k]:.0f}" for k in ("trained_seconds", "seconds", "cpu_seconds"))
        rows.append(
            f"{head}| {record['start']} | {times} | "
            f"{100 * measured['value']:.1f} [{100 * measured['low']:.1f} .. {100 * measured['high']:.1f}] | "
            f"{difference} | {_note(record)} |"
        )
    some = next((r for r in records if "cases" in r), None)
    size = "" if some is None else f", {len(some['cases'])} test images in {measure(some)['groups']} groups"
    title = f"### {name}{size}, budget {budget:g} s, seed {seed}"
    return "\n".join([title, "", HEAD, *rows, "", _verdict(reference, compared) + _caution(records)])


def _note(record: Record) -> str:
    over = record["trained_seconds"] > OVER * record["budget"]
    return ", ".join(filter(None, [record["note"], "over the budget" if over else ""]))


def _caution(records: Sequence[Record]) -> str:
    """Time budgets mean nothing on a machine that others use."""
    most = max((r["others_cores"] for r in records if "cases" in r), default=0.0)
    return f" NOT A FAIR MEASUREMENT: other processes used up to {most:.1f} cores." if most > SHARED else ""


def measure(record: Record) -> dict[str, Any]:
    """Balanced accuracy with its interval, and the number of groups."""
    cases = record["cases"]
    names = sorted({word for case in cases for word in (case["label"], case["predicted"])})
    labels, predicted = (np.array([names.index(c[key]) for c in cases], np.int64) for key in ("label", "predicted"))
    found = rates.classification(labels, predicted, names, groups=[c["group"] for c in cases])
    return {**found["balanced_accuracy"], "groups": found["groups"]}


def against(ours: Record, other: Record) -> Difference | None:
    """Balanced accuracy of ours minus the other's on the same images; None where the images are not the same."""
    theirs = {case["path"]: case["predicted"] for case in other["cases"]}
    if set(theirs) != {case["path"] for case in ours["cases"]}:
        return None
    names = sorted({word for case in [*ours["cases"], *other["cases"]] for word in (case["label"], case["predicted"])})
    truth, mine, its = (
        np.array([names.index(word) for word in words], np.int64)
        for words in zip(*((c["label"], c["predicted"], theirs[c["path"]]) for c in ours["cases"]), strict=True)
    )
    return paired(truth, its, mine, [case["group"] for case in ours["cases"]])


def _verdict(reference: Record | None, compared: Sequence[tuple[float, str, Difference]]) -> str:
    """What may be said of Loupe against the best of the others."""
    if reference is None or not compared:
        return "Loupe: nothing to compare."
    _, tool, difference = max(compared, key=lambda entry: entry[0])
    if difference.low > 0:
        return f"Loupe: **best**; the interval of its difference to the next, {tool}, excludes 0."
    if difference.value >= 0:
        return f"Loupe: **best or equal**; the interval of its difference to {tool} includes 0."
    if difference.high >= 0:
        return f"Loupe: **within the interval** of the best, {tool}."
    return f"Loupe: **behind** {tool}; the interval of the difference excludes 0."
