"""A candidate whose backbone went on learning: new images, and some old ones beside them, so that little is forgotten.

The sums of the old features mean nothing to a backbone that has changed. So the pictures must be given: those of the
exemplars to learn from, those that were held out to be judged on, and as many others as there are for the closed-form
head, which is fitted anew on all that were found.
"""

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.building.work import Vectors
from shared.data import images
from shared.data.manifest import Manifest, Row
from shared.errors import LoupeError
from shared.inference import Runtime, nearest
from shared.records import Sample
from shared.training import features, sums
from shared.updating import candidate, memory, old_pictures
from shared.updating.candidate import Fitted, Model
from shared.updating.intake import Intake
from shared.updating.memory import Memory
from shared.updating.old_pictures import Found

NAME = "rehearsed backbone"
PER_LABEL = 20
"""Exemplars of each label, as iCaRL and most that came after it keep of 100 labels."""
LEAST_EXEMPLARS = 0.5
"""Share of the exemplars that must be found; with fewer the old labels would be learnt from hardly anything."""
LEAST_JUDGES = 0.9
"""Share of the held-out images that must be found; with fewer the gate would ask other judges than before."""
LEARNING_SHARE = 0.6
"""Of the time that the parent's build was given, for learning."""
COMPARED = 8
"""Pictures on which the exported backbone is compared with the torch network."""
_LISTED = 10


def attempt(
    runtime: Runtime, parent: Model, closed: Fitted, new: Intake | None, source: Path, say: Callable[[str], None]
) -> Fitted | str:
    """Learn with exemplars, fit the closed-form head on the new features; or say why not.

    Args:
        runtime: The parent.
        parent: Its model.
        closed: The candidate on the parent's backbone, from which the learning starts.
        new: What came in.
        source: Where the old pictures lie: a folder, or a table of paths.
        say: Told what was found.

    Raises:
        DataError: ``source`` is not there.
    """
    fresh = {} if new is None else {row.sample.id: _absolute(row.sample, new.folder) for row in new.rows}
    old = [identity for identity in closed.after.labels if identity not in fresh]
    found = old_pictures.find(source, old)
    _tell(runtime, found, len(old), source, say)
    exemplars = chosen(closed.after, frozenset(fresh))
    there = [identity for identity in exemplars if identity in found.samples]
    if why := _too_few(closed.after, exemplars, there, found, frozenset(fresh)):
        return f"{source}: {why}"
    pictures = found.samples | fresh
    trained = {identity for block in closed.after.sums.blocks.values() for identity in (*block.ids, *block.folded)}
    learnt = [*there, *(identity for identity in fresh if identity in trained)]
    say(f"{NAME}: learns from {len(there)} exemplars and {len(learnt) - len(there)} new images")
    made = _learnt(runtime, parent, closed, learnt, pictures)
    if isinstance(made, str):
        return made
    extractor, network, facts = made
    known = _features(extractor, pictures, network.recipe.threads)
    origin_key = memory.key(extractor.origin, network.net.image_size)
    after = anew(closed.after, known, origin_key)
    if lost := sorted(set(closed.after.sums.labels) - set(after.sums.labels)):
        return f"{source}: no training image of {', '.join(lost)} was found there"
    facts |= {"exemplars": len(there), "new": len(learnt) - len(there), "not_found": list(found.missing)}
    return candidate.fitted(runtime, extractor, after, name=NAME, say=say, details=facts, network=network)


def chosen(after: Memory, fresh: frozenset[str]) -> list[str]:
    """Ids of the exemplars among the old training images: by herding, or by lot where a label is but a sum.

    Args:
        after: What the closed form was fitted on.
        fresh: Ids of images that came in now.
    """
    from shared.training import rehearsal

    exemplars: list[str] = []
    for block in after.sums.blocks.values():
        kept = [i for i, identity in enumerate(block.ids) if identity not in fresh]
        own = [block.ids[kept[i]] for i in rehearsal.herded(block.rows[kept], PER_LABEL)] if kept else []
        folded = [identity for identity in block.folded if identity not in fresh]
        drawn = np.random.default_rng(0).permutation(len(folded))[: PER_LABEL - len(own)]
        exemplars += own + [folded[i] for i in drawn]
    return exemplars


def anew(after: Memory, known: Vectors, key: str) -> Memory:
    """The same images with other features; those whose features are not known stay in the table alone.

    Args:
        after: With the features of one backbone.
        known: Those of another, by id.
        key: Names the other, see :func:`shared.updating.memory.key`.
    """
    component = dict(zip(after.table["id"], after.table["component"], strict=True))
    blocks = after.sums.blocks.items()
    named = [(i, label) for label, block in blocks for i in (*block.ids, *block.folded) if i in known]
    ids, labels = [i for i, _ in named], [label for _, label in named]
    own = sums.of(key, np.stack([known[i] for i in ids]), labels, ids, [component[i] for i in ids])
    held = after.held.where([i in known for i in after.held.ids])
    vectors = np.stack([known[i] for i in held.ids]) if held.ids else held.features
    return Memory(own, replace(held, features=vectors), after.table)


def _learnt(
    runtime: Runtime, parent: Model, closed: Fitted, learnt: Sequence[str], pictures: dict[str, Sample]
) -> tuple[features.Extractor, Any, dict[str, Any]] | str:
    """The backbone after learning, as a graph and as a network."""
    from shared.export import parity
    from shared.training import kept_backbone, rehearsal

    labels, named = closed.after.sums.labels, closed.after.labels
    keep = [i for i, label in enumerate(parent.labels) if label in labels]
    teaching = replace(parent.head, weights=parent.head.weights[:, keep], bias=parent.head.bias[keep])
    try:
        net, recipe = kept_backbone.load(runtime.bundle)
        teacher = rehearsal.Teacher(net, teaching, tuple(labels.index(parent.labels[i]) for i in keep))
        made = rehearsal.learn(
            net,
            closed.candidate.head,
            teacher,
            lambda i: _read(pictures[learnt[i]]),
            np.array([labels.index(named[identity]) for identity in learnt]),
            recipe,
            until=time.monotonic() + LEARNING_SHARE * closed.work.deadline.budget,
        )
        if not made.finite:
            return "the loss was no longer a number"
        model, compared = parity.export(
            made.net, [_read(pictures[i]) for i in learnt[:: max(1, len(learnt) // COMPARED)]]
        )
    except LoupeError as error:
        return str(error)
    before = closed.candidate.extractor.origin
    sha256 = hashlib.sha256(model.SerializeToString()).hexdigest()
    origin = {**before, "weights": f"{before['weights']}, rehearsed", "sha256": sha256}
    extractor = features.Extractor(model, origin, vars(compared) | {"tried": list(compared.tried)}, sha256[:24])
    network = kept_backbone.KeptBackbone(made.net, replace(recipe, image_size=made.net.image_size))
    return extractor, network, {"steps": made.steps, "ended": made.why}


def _features(extractor: features.Extractor, pictures: dict[str, Sample], threads: int) -> Vectors:
    rows = tuple(Row(sample) for sample in sorted(pictures.values(), key=lambda s: s.path))
    known, _ = features.compute(extractor, Manifest(rows, Path("/")), rows, threads=threads, until=np.inf)
    return known


def _too_few(
    after: Memory, exemplars: Sequence[str], there: Sequence[str], found: Found, fresh: frozenset[str]
) -> str | None:
    """Why it would not be fair to learn from what was found; None where it is."""
    judges = [identity for identity in after.held.ids if identity not in fresh]
    seen = [identity for identity in judges if identity in found.samples]
    if len(there) < LEAST_EXEMPLARS * len(exemplars):
        return f"holds {len(there)} of {len(exemplars)} exemplars, needed are {LEAST_EXEMPLARS:.0%}"
    if len(seen) < LEAST_JUDGES * len(judges):
        return f"holds {len(seen)} of {len(judges)} held-out images, needed are {LEAST_JUDGES:.0%}"
    return None


def _tell(runtime: Runtime, found: Found, wanted: int, source: Path, say: Callable[[str], None]) -> None:
    say(f"{len(found.samples)} of {wanted} old images found in {source}")
    kept = nearest.load(runtime.bundle.path) if found.missing else None
    paths = dict(zip(kept.ids, kept.paths, strict=True)) if kept else {}
    for identity in found.missing[:_LISTED]:
        say(f"not found: {paths.get(identity) or identity}")
    if len(found.missing) > _LISTED:
        say(f"not found: {len(found.missing) - _LISTED} more")


def _absolute(sample: Sample, folder: Path) -> Sample:
    return replace(sample, path=str((folder / sample.path).resolve()))


def _read(sample: Sample) -> NDArray[np.uint8]:
    return images.read(Path(sample.path), window=sample.window)
