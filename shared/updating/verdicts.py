"""The standing verdicts of a review log as rows of a manifest: for training only.

What gets into the review queue was flagged first: among the verdicts there is no defect that the bundle missed. A
certificate on such images would be blind to every miss, so that none of them may judge a model.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from shared.data import images
from shared.data.manifest import Manifest, Row
from shared.decide import UNKNOWN
from shared.errors import DataError, Problem
from shared.records import Action, Review, Sample
from shared.review.items import GROUPS, NOT_EXAMINED, Item
from shared.review.store import Store
from shared.taxonomy import Taxonomy
from shared.updating import old_pictures


def is_log(source: Path | str) -> bool:
    """Whether a source of labels is a review log: a SQLite file or a SQLAlchemy URL."""
    return "://" in str(source) or Path(source).suffix.lower() in (".sqlite", ".db")


def read(
    source: Path | str, taxonomy: Taxonomy | None, ok_label: str | None = None
) -> tuple[Manifest, tuple[Problem, ...]]:
    """What a review log teaches, every row with the split ``train``, and what of it was left out.

    Left out are pictures that are no longer those that were judged, those of which a finding still waits for its
    verdict (a tile whose dust was rejected is not OK before somebody has looked at its crack), and those that a person
    confirmed to be unlike all training images: that names no label.

    Args:
        source: A SQLite file of a review, or a SQLAlchemy URL.
        taxonomy: The vertical's labels; None for a bundle without a vertical.
        ok_label: Such a bundle's word for "nothing wrong", None where it has none.

    Raises:
        DataError: It is not there, or no verdict stands.
    """
    items, standing = _opened(source)
    waiting = {s for item in items.values() if item.id not in standing for s in _ids(item)}
    ok = taxonomy.ok.code if taxonomy is not None and taxonomy.ok is not None else ok_label or "OK"
    said: dict[str, set[str]] = defaultdict(set)
    samples: dict[str, Sample] = {}
    content: dict[Path, str] = {}
    problems = []
    for identity, review in standing.items():
        label = ok if review.action is Action.REJECT else review.label
        if review.action is Action.CONFIRM and taxonomy is None:
            label = items[identity].label  # the page speaks in codes that a bundle without a vertical does not know
        if why := _teaches_nothing(label, items[identity]):
            problems.append(Problem(identity, why))
            continue
        for found in _samples(items[identity], content):
            if isinstance(found, Problem):
                problems.append(found)
            else:
                samples[found.id] = found
                said[found.id].add(label)
    rows = []
    for identity in [i for i in said if i not in waiting]:
        # A tile in which one finding was rejected and another confirmed shows the other.
        named = said[identity] - {ok} or {ok}
        if len(named) > 1:
            problems.append(Problem(samples[identity].path, f"was called {' and '.join(sorted(named))}; decide which"))
        else:
            rows.append(Row(samples[identity], named.pop(), "train"))
    problems += _unfinished(str(source), len(waiting & set(said)), [items[i] for i in standing])
    return Manifest(tuple(rows), Path("/")), tuple(dict.fromkeys(problems))


def _teaches_nothing(label: str, item: Item) -> str | None:
    """Why nothing can be learnt from a verdict; None where something can."""
    if label == NOT_EXAMINED or not _ids(item):
        return "its verdict is about no picture; nothing can be learnt from it"
    if label == UNKNOWN:
        return f"was confirmed as {UNKNOWN}, which names no label; relabel it to have it learnt"
    return None


def _opened(source: Path | str) -> tuple[dict[str, Item], dict[str, Review]]:
    """All items by id, and the verdicts that stand."""
    if "://" not in str(source) and not Path(source).is_file():
        raise DataError(f"{source}: does not exist; give the review log that loupe review wrote")
    store = Store.open(str(source))
    try:
        items, standing = {item.id: item for item in store.items()}, store.standing()
    finally:
        store.close()
    if not standing:
        raise DataError(f"{source}: holds no standing verdict; judge something first with loupe review")
    return items, standing


def _unfinished(source: str, waiting: int, judged: list[Item]) -> Iterator[Problem]:
    """What is to be said about the log as a whole."""
    if waiting:
        what = (
            f"{waiting} picture(s) with a finding that nobody has judged yet are left out; judge it with loupe review"
        )
        yield Problem(source, what)
    if old := sum(bool(_ids(item)) and GROUPS not in item.payload for item in judged):
        yield Problem(
            source,
            f"{old} verdict(s) are about predictions of an earlier version, which did not say the group of a picture; "
            "whether it is held out was asked by picture alone: predict and review anew where groups matter",
        )


def _ids(item: Item) -> tuple[str, ...]:
    """Ids of the pictures that a finding is about; none where no file is known, or it is about a frame as a whole."""
    if not item.image:
        return ()
    found: tuple[str, ...] = tuple(item.payload.get("samples", ()))
    return found if item.payload.get("frame") is not None else tuple(i for i in found if "@" in i)


def _samples(item: Item, content: dict[Path, str]) -> Iterator[Sample | Problem]:
    """The pictures that a verdict is about, rebuilt from their ids: content hash, and the window where there is one.

    Args:
        item: What was judged.
        content: Hash of each file that was read before; filled.
    """
    file = Path(item.image).resolve()
    groups: Mapping[str, str] = item.payload.get(GROUPS, {})
    for identity in _ids(item):
        judged = identity.partition("@")[0]
        try:
            if file not in content:
                content[file] = images.content_hash(file)[: len(judged)]
            width, height = (0, 0) if "@" in identity else images.size(file)
        except DataError as error:
            yield Problem(str(file), str(error).removeprefix(f"{file}: "))
            continue
        if content[file] != judged:
            what = f"holds {content[file]}, and {judged} was judged: it is another picture, nothing is learnt from it"
            yield Problem(str(file), what)
            continue
        sample = old_pictures.sample(identity, file, width=width, height=height)
        # A strip is at least a group of its own.
        group = groups.get(identity) or (item.frame if "@" in identity else "")
        yield replace(sample, frame=item.frame, group=group)
