"""The standing verdicts of a review log as rows of a manifest: for training only.

What gets into the review queue was flagged first: among the verdicts there is no defect that the bundle missed. A
certificate on such images would be blind to every miss, so that none of them may judge a model.
"""

from collections import defaultdict
from dataclasses import replace
from pathlib import Path

from shared.data import images
from shared.data.manifest import Manifest, Row
from shared.errors import DataError, Problem
from shared.records import Action, Sample
from shared.review.items import NOT_EXAMINED, Item
from shared.review.store import Store
from shared.taxonomy import Taxonomy
from shared.updating import old_pictures


def is_log(source: Path | str) -> bool:
    """Whether a source of labels is a review log: a SQLite file or a SQLAlchemy URL."""
    return "://" in str(source) or Path(source).suffix.lower() in (".sqlite", ".db")


def read(source: Path | str, taxonomy: Taxonomy | None) -> tuple[Manifest, tuple[Problem, ...]]:
    """What a review log teaches, every row with the split ``train``, and what of it was left out.

    Args:
        source: A SQLite file of a review, or a SQLAlchemy URL.
        taxonomy: The vertical's labels.

    Raises:
        DataError: It is not there, or no verdict stands.
    """
    if "://" not in str(source) and not Path(source).is_file():
        raise DataError(f"{source}: does not exist; give the review log that loupe review wrote")
    store = Store.open(str(source))
    try:
        items, standing = {item.id: item for item in store.items()}, store.standing()
    finally:
        store.close()
    if not standing:
        raise DataError(f"{source}: holds no standing verdict; judge something first with loupe review")
    said: dict[str, set[str]] = defaultdict(set)
    samples: dict[str, Sample] = {}
    problems = []
    ok = taxonomy.ok.code if taxonomy is not None and taxonomy.ok is not None else "OK"
    for identity, review in standing.items():
        label = ok if review.action is Action.REJECT else review.label
        found = _samples(items[identity])
        if label == NOT_EXAMINED or not found:
            problems.append(Problem(identity, "its verdict is about no picture; nothing can be learnt from it"))
        for sample in found:
            samples[sample.id] = sample
            said[sample.id].add(label)
    rows = []
    for identity, labels in said.items():
        # A tile in which one finding was rejected and another confirmed shows the other.
        named = labels - {ok} or {ok}
        if len(named) > 1:
            problems.append(Problem(samples[identity].path, f"was called {' and '.join(sorted(named))}; decide which"))
        else:
            rows.append(Row(samples[identity], named.pop(), "train"))
    return Manifest(tuple(rows), Path("/")), tuple(problems)


def _samples(item: Item) -> list[Sample]:
    """The pictures that a verdict is about, rebuilt from their ids: content hash, and the window where there is one."""
    if not item.image:
        return []
    found = []
    file = Path(item.image).resolve()
    for identity in item.payload.get("samples", ()):
        if "@" in identity:
            found.append(replace(old_pictures.sample(identity, file), frame=item.frame, group=item.frame))
        elif item.payload.get("frame") is not None:
            width, height = images.size(file)
            found.append(replace(old_pictures.sample(identity, file, width=width, height=height), frame=item.frame))
    return found
