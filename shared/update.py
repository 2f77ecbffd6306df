"""The update: a bundle and what people have said since in; a candidate that passed the gate out, or why not.

The head is the closed-form one over old and new images together, from the sums that the bundle carries: no old picture
is needed, and the result is the same as fitting on all of them again. The backbone stays as it is, unless old pictures
are given to rehearse on: then it goes on learning too, and is offered where it is the better one on validation.
"""

import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared import atomic, evaluate, packing
from shared.building import adopt
from shared.building.adopt import Trial
from shared.data import images, sources
from shared.errors import DataError
from shared.inference import Runtime, registry
from shared.inference import bundle as bundles
from shared.taxonomy import Taxonomy
from shared.updating import candidate, intake, memory, old_pictures, verdicts
from shared.updating import gate as gates
from shared.updating.candidate import Fitted, Made, Model
from shared.updating.gate import Check, Gate, Limits
from shared.updating.intake import Intake
from shared.updating.memory import Memory


def to_stderr(text: str) -> None:
    """Where progress is told: never stdout, which belongs to the result."""
    print(text, file=sys.stderr, flush=True)


@dataclass(frozen=True)
class Wish:
    """What an update is to do.

    Attributes:
        data: New labelled images, or a review log, which only teaches; None for none.
        forget: Images to take out: ids (the first digits are enough), or files and folders of them.
        merge: Another bundle whose sums come in; None for none.
        shadow: Folder of recent images, without labels, on which the answers are compared; None for none.
        limits: What it may cost.
        accept: Names of checks that a person has answered for: ``labels of the new images``, ``new images``.
        rehearse: Folder or table of the old pictures, so that the backbone may learn too; None leaves it as it is.
    """

    data: Path | str | None = None
    forget: tuple[str, ...] = ()
    merge: Path | None = None
    shadow: Path | None = None
    limits: Limits = field(default_factory=Limits)
    accept: tuple[str, ...] = ()
    rehearse: Path | None = None


def update(
    bundle: Path,
    out: Path,
    wish: Wish,
    *,
    taxonomy: Taxonomy | None = None,
    into: Path | None = None,
    say: Callable[[str], None] = to_stderr,
) -> dict[str, Any]:
    """Make a candidate from a bundle and what a wish brings or takes, and let it through the gate.

    Args:
        bundle: The parent; a registry means the version that answers in it.
        out: Folder of the candidate's bundle.
        wish: What to do.
        taxonomy: The vertical's labels.
        into: Registry into which a candidate that passed is promoted; None for none.
        say: Told what was decided and why.

    Returns:
        The facts that ``loupe update --json`` prints.

    Raises:
        Refused: The gate does not let it through; its reasons lie beside ``out`` as ``<out>.gate.json``.
        BundleError: The parent cannot be updated.
        DataError: There is nothing to learn, or an image to forget is not there.
    """
    place = registry.resolve(bundle)
    if not (wish.data or wish.forget or wish.merge):
        raise DataError("nothing to update: give new labelled images, a review log, --forget or a bundle to merge")
    bundles.check_place(out)
    runtime = Runtime.open(place)
    before = memory.load(runtime.bundle)
    parent = candidate.opened(runtime.bundle)
    left = _without(runtime, before, wish.forget, say)
    if wish.forget and _learnt(runtime):
        say("this bundle's backbone has learnt too, and what it learnt from an image stays in it: build again without")
    new = _new(runtime, left, wish, taxonomy, say)
    after = left if new is None else memory.taken_in(left, new)
    if wish.merge is not None:
        after = _merged(runtime, after, parent, registry.resolve(wish.merge))
    forgotten = tuple(sorted(set(before.sums.labels) - set(left.sums.labels)))
    closed = candidate.fitted(
        runtime, candidate.extractor(runtime, parent, after.sums.backbone), after, name="updated head", say=say
    )
    made, verdict = _offered(
        runtime, parent, closed, _judging(parent, left, after, new, wish, forgotten), new, wish, say
    )
    note = gates.record(verdict, {"parent": runtime.bundle.hash, "accepted": list(wish.accept)})
    if not verdict.passed:
        atomic.write(out.with_name(out.name + ".gate.json"), json.dumps(note, indent=2))
        raise gates.Refused(f"{bundle}: not updated: {verdict}; nothing was changed")
    forgot = len(before.labels) - len(left.labels)
    facts = made.facts | {"gate": verdict.id, "update": note | _history(runtime, new, wish, forgot)}
    paths = {} if new is None else {row.sample.id: row.sample.path for row in new.rows}
    sealed = packing.write(out, made.data, facts, made.after.table, made.with_paths(paths).kept)
    promoted = registry.promote(into, out, {"gate": verdict.id, "parent": runtime.bundle.hash}) if into else None
    return facts | {
        "bundle": str(out),
        "bundle_hash": sealed.hash,
        "registry": None if promoted is None else {"path": str(into), "current": promoted.current[:12]},
    }


def _offered(
    runtime: Runtime,
    parent: Model,
    closed: Fitted,
    judge: Callable[[Made], list[Check]],
    new: Intake | None,
    wish: Wish,
    say: Callable[[str], None],
) -> tuple[Made, Gate]:
    """The best candidate that passes the gate; where none does, the closed form with its reasons."""
    pictures = [] if new is None else new.pictures
    for own, trials in _candidates(runtime, parent, closed, new, wish, say):
        made = candidate.packed(runtime, own, trials, pictures, earlier=_compared_before(runtime, wish))
        checks = judge(made)
        verdict = Gate(tuple(replace(c, passed=c.passed or c.name in wish.accept) for c in checks))
        for check in verdict.checks:
            say(f"{'passed ' if check.passed else 'REFUSED'} {check.name}: {check.said}")
        if verdict.passed:
            break
    return made, verdict


def _compared_before(runtime: Runtime, wish: Wish) -> int:
    """Models beyond the first among which the held-out images chose before: the parent's, and those that come in."""
    cards = [runtime.bundle.card]
    if wish.merge is not None:
        cards.append(bundles.load(registry.resolve(wish.merge)).card)
    return sum(int(card["candidates"]) - 1 for card in cards)


def _candidates(
    runtime: Runtime, parent: Model, closed: Fitted, new: Intake | None, wish: Wish, say: Callable[[str], None]
) -> Iterator[tuple[Fitted, list[Trial]]]:
    """What can be offered, the better one first, each with what it was compared with."""
    default = adopt.first(closed.candidate)
    if wish.rehearse is None:
        yield closed, [default]
        return
    from shared.updating import rehearsed

    found = rehearsed.attempt(runtime, parent, closed, new, wish.rehearse, say)
    if isinstance(found, str):
        yield closed, [default, adopt.nothing(closed.work, rehearsed.NAME, found)]
        return
    trial = adopt.against(found.work, closed.candidate, found.candidate, found.rows)
    if trial.adopted:
        yield found, [default, trial]
        say(f"the gate refused the {rehearsed.NAME}; the closed form on the parent's backbone is offered")
        trial = replace(trial, adopted=False, why=f"{trial.why}, but refused by the gate")
    yield closed, [default, trial]


def _without(runtime: Runtime, before: Memory, wanted: Sequence[str], say: Callable[[str], None]) -> Memory:
    """Without the images to forget; those given as files are looked at, since a folded one cannot go by its id."""
    ids = [w for w in wanted if not Path(w).exists()]
    given: dict[str, NDArray[np.float32]] = {}
    for path in (Path(w) for w in wanted if Path(w).exists()):
        files = {s.id: s.path for s in sources.samples(path)[0]}
        known = old_pictures.find(path, before.labels).samples
        strange = [file for i, file in files.items() if i not in {k.partition("@")[0] for k in known}]
        if not known:
            raise DataError(f"--forget {path}: not one of its {len(files)} images is in the bundle")
        if strange:
            say(
                f"--forget {path}: {len(strange)} of its {len(files)} images are not in the bundle, e.g. {strange[0]}; "
                "a picture that was saved anew is another one here: give the file that the bundle learnt from"
            )
        read = [images.read(Path(s.path), window=s.window) for s in known.values()]
        answers = runtime.predict(read, features=True)
        assert answers.features is not None
        given |= dict(zip(known, answers.features, strict=True))
    return before.forget([*ids, *given], given) if wanted else before


def _new(
    runtime: Runtime, left: Memory, wish: Wish, taxonomy: Taxonomy | None, say: Callable[[str], None]
) -> Intake | None:
    if wish.data is None:
        return None
    manifest, problems = intake.read(wish.data, taxonomy, runtime.bundle.ok_label)
    for text in evaluate.cautions(runtime.bundle, manifest):
        say(text)
    from_log, seed = verdicts.is_log(wish.data), int(runtime.bundle.card["recipe"]["seed"])
    found = intake.look(runtime, manifest, left.labels, taxonomy, problems, seed=seed, only_training=from_log)
    for problem in found.problems[:20]:
        say(f"left out: {problem}")
    counts = Counter(row.label for row in found.rows)
    say(f"{len(found.rows)} new images: {', '.join(f'{label} {n}' for label, n in counts.most_common())}")
    if from_log:
        _say_what_a_log_cannot(runtime, found, say)
    return found


def _say_what_a_log_cannot(runtime: Runtime, found: Intake, say: Callable[[str], None]) -> None:
    """That a log has only what was flagged, and what follows for the certificate."""
    say(
        "verdicts of a review log only teach: what passed was never reviewed, so the certificate stays one on the "
        "images held out before; to have it on more, label images whether flagged or not and give their folder"
    )
    if unknown := sorted({row.label for row in found.rows} - set(runtime.labels)):
        say(f"no image of {', '.join(unknown)} is held out: nothing is certified about finding it")


def _merged(runtime: Runtime, own: Memory, parent: Model, other: Path) -> Memory:
    """With the sums of another bundle, after its backbone was seen to give the same features."""
    theirs = Runtime.open(other)
    far = candidate.opened(theirs.bundle)
    patterns = packing.golden_patterns()
    a, b = (candidate.features_of(model, patterns) for model in (parent, far))
    if a.shape != b.shape or float(np.abs(a - b).max()) > 1e-3 * float(np.abs(a).max()):
        raise DataError(f"{other}: its backbone gives other features than this bundle's; build both with the same one")
    bits = min(evaluate.telling_bits(bundle.card) for bundle in (runtime.bundle, theirs.bundle))
    return memory.merged(own, memory.load(theirs.bundle), theirs.bundle.hash[:8], bits=bits)


def _judging(
    parent: Model, left: Memory, after: Memory, new: Intake | None, wish: Wish, forgotten: Sequence[str]
) -> Callable[[Made], list[Check]]:
    """Every question of the gate, to be asked of a candidate about images that neither model was fitted on."""
    about_the_new = [] if new is None else _about_the_new(parent, left, new)

    def judge(made: Made) -> list[Check]:
        own = made.model
        both = [label for label in parent.labels if label in own.labels]
        further = [label for label in own.labels if label not in both]
        held = made.after.held
        judges = held.where([s == "test" and label in both for s, label in zip(held.splits, held.labels, strict=True)])
        # The same images in the features of the parent's own backbone.
        asked = after.held.where([identity in set(judges.ids) for identity in after.held.ids])
        truth = np.array([both.index(label) for label in judges.labels], np.int64)
        old = parent.answers(asked).over(parent.labels, both)
        said = own.answers(judges).over(own.labels, [*both, *further])
        return [
            gates.labels_stay(parent.labels, own.labels, forgotten),
            *about_the_new,
            *gates.old_and_new(old, said, truth, judges.components, both, wish.limits),
            gates.cost(old, said, len(further), wish.limits),
            *([_shadow(parent, own, wish.shadow, wish.limits)] if wish.shadow else []),
        ]

    return judge


def _about_the_new(parent: Model, left: Memory, new: Intake) -> list[Check]:
    """Whether the new images and their labels can be believed, going by what the parent knows."""
    usual = parent.answers(left.held)
    labels = parent.labels
    y = np.array([labels.index(label) for label in left.held.labels], np.int64)
    rate = float(gates.doubted(usual.probabilities, y).mean()) if len(y) else 0.0
    known = [i for i, row in enumerate(new.rows) if row.label in labels]
    truth = np.array([labels.index(new.rows[i].label) for i in known], np.int64)
    paths = [new.rows[i].sample.path for i in known]
    return [
        gates.contradicted(new.probabilities[known], truth, rate, paths),
        gates.alike(new.novelty[known], usual.novelty, _apart(left, new)),
    ]


def _apart(left: Memory, new: Intake) -> float:
    """How well new images of known labels can be told from held-out ones, the mean of each label taken away."""
    middle = {
        label: left.sums.origin + block.sums(left.sums.origin)[0] / block.count
        for label, block in left.sums.blocks.items()
    }
    held = left.held
    own = [i for i, row in enumerate(new.rows) if row.label in middle]
    old = [i for i, label in enumerate(held.labels) if label in middle]
    if not own or not old:
        return 0.5
    came = new.features[own] - np.stack([middle[new.rows[i].label] for i in own])
    was = held.features[old] - np.stack([middle[held.labels[i]] for i in old])
    return gates.told_apart((came, [new.components[i] for i in own]), (was, [held.components[i] for i in old]))


def _shadow(parent: Model, made: Model, folder: Path, limits: Limits) -> Check:
    """Both models on recent images that nobody has labelled."""
    samples, where, _ = sources.samples(folder)
    pictures = [images.read(where / s.path, window=s.window) for s in samples]
    scores = [m.head.scores(candidate.features_of(m, pictures)) for m in (parent, made)]
    said = [[m.labels[i] for i in s.argmax(1)] for m, s in zip((parent, made), scores, strict=True)]
    return gates.shadow(said[0], said[1], limits)


def _learnt(runtime: Runtime) -> bool:
    """Whether the backbone is another one than its recipe gives: it was fine-tuned, rehearsed or distilled."""
    return (runtime.bundle.path / bundles.NETWORK).is_file()


def _history(runtime: Runtime, new: Intake | None, wish: Wish, forgotten: int) -> dict[str, Any]:
    """What was done, for the card."""
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "steps": 1 + int(runtime.bundle.card.get("update", {}).get("steps", 0)),
        "new_images": 0 if new is None else len(new.rows),
        "from_review_log": wish.data is not None and verdicts.is_log(wish.data),
        "left_out": [] if new is None else [str(p) for p in new.problems],
        "forgotten": forgotten,
        "backbone_may_remember": bool(wish.forget) and _learnt(runtime),
        "merged": "" if wish.merge is None else wish.merge.name,
    }
