"""The findings of a data check as a short list: what to do first stands first, and what it costs stands beside it."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

Facts = Mapping[str, Any]
FEW_IMAGES = 20
FEW_GROUPS = 10
"""Below it, not even recall 0.74 can be stated with 95 % confidence, were every image recognised (0.05 ** (1 / 10))."""
UNEVEN = 10
MOST = 0.75
"""Share of what the whole picture tells from which a single look of it (brightness, blur) is put a figure to."""


@dataclass(frozen=True)
class Finding:
    """One thing that a person should do something about.

    Attributes:
        what: What was found, one sentence with its figures.
        todo: What to do about it.
        points: Points of balanced accuracy that may be wrong because of it, at most, 0 to 100; what it was measured
            or counted from stands in ``what``. None where no figure can be given.
        certain: True for facts, False for what a person must look at first.
        section: Where the page shows it.
    """

    what: str
    todo: str
    points: float | None
    certain: bool
    section: str


def findings(facts: Facts) -> list[dict[str, Any]]:
    """Findings as dictionaries: facts first, then what must be looked at, each the costliest first."""
    found = [
        *_leaks(facts),
        *_contradictions(facts),
        *_unreadable(facts),
        *_labels(facts),
        *_shortcuts(facts),
        *_suspects(facts),
        *_copies(facts),
        *_quality(facts),
    ]
    return [asdict(f) for f in sorted(found, key=lambda f: (not f.certain, -(-1.0 if f.points is None else f.points)))]


def _share(facts: Facts, n: int) -> float:
    return 100.0 * n / (int(facts["images"]) + len(facts["problems"]))


def interval(rate: Facts) -> str:
    """A balanced accuracy with its interval, in percent."""
    return f"{100 * rate['value']:.1f} % [{100 * rate['low']:.1f} .. {100 * rate['high']:.1f}]"


def _leaks(facts: Facts) -> Iterator[Finding]:
    split, price = facts["split"], facts["price"]
    if not split["leaked_before"]:
        return
    share = f"{split['leaked_before']:.1%} of the test images"
    worth = "what that is worth was not measured"
    if price:
        worth = (
            f"balanced accuracy {interval(price['leaky'])} with them and {interval(price['clean'])} without: "
            f"worth {price['points']:+.1f} points [{price['low']:+.1f} .. {price['high']:+.1f}]"
        )
    points = max(0.0, price["points"]) if price else None
    if split["given"]:
        what = (
            f"in the split that came with the data, {share} have a copy or a sibling among the training images; {worth}"
        )
        yield Finding(what, "write a split that leaks nothing: --fix", points, True, "leaks")
    else:
        what = f"a random split by image would give {share} a copy or a sibling among the training images; {worth}"
        yield Finding(what, "split by group, as loupe build does; --fix writes such a split", points, False, "leaks")


def _contradictions(facts: Facts) -> Iterator[Finding]:
    exact, near = facts["contradictions"]["exact"], facts["contradictions"]["near"]
    if exact:
        files = sum(len(g["paths"]) for g in exact)
        what = f"{len(exact)} images are filed under several labels each ({files} files, byte for byte the same)"
        todo = "decide which label is right and delete the others; until then they are left out"
        yield Finding(what, todo, _share(facts, files), True, "contradictions")
    if near:
        files = sum(len(g["paths"]) for g in near)
        what = f"{len(near)} pictures have copies under other labels ({files} files, recompressed, resized or turned)"
        todo = "look at each: either a label is wrong, or the difference is small and real; they are kept"
        yield Finding(what, todo, _share(facts, files), False, "contradictions")


def _unreadable(facts: Facts) -> Iterator[Finding]:
    n = len(facts["problems"]) - sum(len(g["paths"]) for g in facts["contradictions"]["exact"])
    if n > 0:
        yield Finding(f"{n} files cannot be used", "see the reason of each", _share(facts, n), True, "problems")


def _labels(facts: Facts) -> Iterator[Finding]:
    labels, groups = facts["labels"], facts["groups"]
    each = 100 / len(labels)
    unmeasured = facts["unmeasured_labels"]
    if unmeasured:
        what = (
            f"nothing can be said about the recall of {_named(unmeasured)}: too few independent groups for three splits"
        )
        yield Finding(what, "photograph more parts, patients or fields", each * len(unmeasured), True, "labels")
    few = [label for label, n in groups.items() if n < FEW_GROUPS and label not in unmeasured]
    if few:
        what = (
            f"{_named(few, groups)} come from fewer than {FEW_GROUPS} independent groups: their figures will be vague"
        )
        yield Finding(what, "photograph more parts, patients or fields", None, True, "labels")
    small = [label for label, n in labels.items() if n < FEW_IMAGES and label not in {*unmeasured, *few}]
    if small:
        yield Finding(
            f"{_named(small, labels)} have fewer than {FEW_IMAGES} images", "add images", None, True, "labels"
        )
    most, least = max(labels.values()), min(labels.values())
    if most > UNEVEN * least:
        what = f"the largest label has {most / least:.0f} times as many images as the smallest ({most} and {least})"
        todo = "training weighs labels evenly; look at recall per label, never at accuracy alone"
        yield Finding(what, todo, None, True, "labels")


def _named(labels: list[str], counts: Mapping[str, int] | None = None) -> str:
    shown = [f"{label} ({counts[label]})" if counts else label for label in labels[:6]]
    more = f" and {len(labels) - 6} more" if len(labels) > 6 else ""
    return ", ".join(shown) + more


def _shortcuts(facts: Facts) -> Iterator[Finding]:
    if not facts["shortcuts"]:
        return
    chance = facts["shortcuts"]["chance"]
    named = [p for p in facts["shortcuts"]["properties"] if p["named"]]
    for recording, todo in (
        (True, "a model may learn it in place of the object: take every label with every camera, format and size"),
        (False, "normal where the label looks so; otherwise photograph all labels alike: compare the examples"),
    ):
        rows = [p for p in named if p["recording"] == recording]
        if rows:
            said = "; ".join(f"{p['name']} {interval(p)}" for p in rows[:5])
            what = f"the label can be told without seeing the object ({100 * chance:.1f} % would be chance): {said}"
            # What an object looks like may tell its label by right; only where little else tells it, a figure is due.
            due = recording or max(p["of_whole"] for p in rows) >= MOST
            points = 100 * (rows[0]["value"] - chance) if due else None
            yield Finding(what, todo, points, recording, "shortcuts")


def _suspects(facts: Facts) -> Iterator[Finding]:
    found = facts["suspects"]
    if found:
        sure = sum(s["confident"] for s in found)
        what = f"{len(found)} labels are doubted by models that had not seen the image, {sure} of them with confidence"
        right = f" (the models are right for {interval(facts['whole'])})" if facts["whole"] else ""
        todo = "look at them from the top; stop when ten in a row are right; none is changed by --fix"
        yield Finding(what + right, todo, _share(facts, sure), False, "suspects")


def _copies(facts: Facts) -> Iterator[Finding]:
    copies = facts["copies"]
    exact = sum(len(g["paths"]) - 1 for g in copies["exact"])
    near = sum(len(g["paths"]) for g in copies["near"]) - len(copies["near"])
    if exact or near:
        what = f"{exact} exact copies, {near} images in {len(copies['near'])} groups that are nearly one picture"
        todo = "keep one of each, or let --fix join them into groups: they count as one when something is proved"
        yield Finding(what, todo, None, False, "copies")


def _quality(facts: Facts) -> Iterator[Finding]:
    kinds = Counter(row["kind"] for row in facts["quality"])
    if kinds:
        images = len({row["path"] for row in facts["quality"]})
        listed = ", ".join(f"{n} {kind}" for kind, n in kinds.most_common())
        what = f"{images} images stand out from the set: {listed}"
        yield Finding(what, "photograph again what cannot be judged by eye", _share(facts, images), False, "quality")
