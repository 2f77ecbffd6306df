"""A bundle is taught, corrected, pooled and made to forget; what would spoil it is refused with its reason."""

import json
import re
import shutil
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from shared.data import images, sources
from shared.errors import BundleError, DataError
from shared.evaluate import SAMPLES, evaluate
from shared.inference import Runtime
from shared.inference import bundle as bundles
from shared.records import Action, Review, Sample
from shared.review.items import Item
from shared.review.log import now
from shared.review.store import Store
from shared.taxonomy import Label, Taxonomy
from shared.training import head
from shared.update import Wish, update
from shared.updating import candidate, memory
from shared.updating.gate import Refused, labels_stay
from tests.conftest import texture


def drawn(folder: Path, labels: Mapping[str, int], *, seed: int = 50_000, spoil: float = 1.0) -> Path:
    """Class folders; ``dent`` is a new label: a soft bright blob. ``spoil`` below 1 takes the contrast away."""
    for offset, (label, n) in enumerate(labels.items()):
        (folder / label).mkdir(parents=True, exist_ok=True)
        for i in range(n):
            image = texture("ok" if label == "dent" else label, seed + 1000 * offset + i).astype(np.float64)
            if label == "dent":
                y, x = np.mgrid[0:64, 0:64] - np.random.default_rng(seed + i).integers(20, 44, 2)[:, None, None]
                image += 110 * np.exp(-(x**2 + y**2) / 150)[..., None]
            image = 235 + spoil * (image - 235) if spoil < 1 else image
            cv2.imwrite(str(folder / label / f"{i:03}.png"), image.clip(0, 255).astype(np.uint8))
    return folder


def refitted(runtime: Runtime) -> head.Head:
    """The head fitted on the vectors of a bundle's training images themselves."""
    kept = memory.load(runtime.bundle).sums
    rows = [(label, x) for label in kept.labels for x in kept.blocks[label].rows]
    y = np.array([kept.labels.index(label) for label, _ in rows])
    strength = runtime.bundle.card["chosen"]["strength"]
    return next(head.ridge(np.stack([x for _, x in rows]).astype(np.float64), y, len(kept.labels), [strength]))


def test_new_images_and_a_new_label_give_the_head_that_fitting_on_everything_gives(
    bundle: Path, tmp_path: Path
) -> None:
    data = drawn(tmp_path / "new", {"ok": 20, "scratch": 20, "dent": 30})
    facts = update(bundle, tmp_path / "next.bundle", Wish(data=data), say=lambda _: None)
    made = Runtime.open(tmp_path / "next.bundle")
    assert made.labels == ("dent", "ok", "scratch", "spot") and facts["gate"] == made.bundle.card["gate"]
    assert facts["update"]["parent"] == bundles.load(bundle).hash and facts["update"]["new_images"] == 70
    kept = memory.load(made.bundle)
    old = memory.load(bundles.load(bundle))
    assert kept.sums.ids > old.sums.ids and len(kept.labels) == len(old.labels) + 70
    expected = refitted(made)
    pictures = [texture("scratch", 77), texture("ok", 78), cv2.imread(str(data / "dent" / "003.png"))[..., ::-1].copy()]
    answers = made.predict(pictures, features=True)
    scores = expected.scores(answers.features) / made.bundle.card["temperature"]
    spread = np.exp(scores - scores.max(1, keepdims=True))
    np.testing.assert_allclose(answers.probabilities, spread / spread.sum(1, keepdims=True), atol=1e-4)
    assert made.labels[answers.probabilities[2].argmax()] == "dent"
    assert facts["test"]["per_label"]["dent"]["n"] > 0 and facts["certificate"]["groups"] > 0

    with pytest.raises(DataError, match="no image that the bundle does not have already"):
        update(tmp_path / "next.bundle", tmp_path / "again.bundle", Wish(data=data), say=lambda _: None)


def compared(bundle: Path, models: int) -> Path:
    """Make a bundle say that its validation images chose among so many models, and seal it as it is."""
    sealed = ("format", "files", "bundle_hash")
    card = {k: v for k, v in json.loads((bundle / bundles.CARD).read_text()).items() if k not in sealed}
    bundles.seal(bundle, card | {"candidates": models})
    return bundle


def test_a_known_label_in_other_letters_is_no_new_label(bundle: Path, tmp_path: Path) -> None:
    data = drawn(tmp_path / "new", {"ok": 20, "scratch": 20})
    (data / "ok").rename(data / "OK")
    (data / "scratch").rename(data / "Scratch")
    measured, _, problems = evaluate(Runtime.open(bundle), data)
    assert not problems and measured["n"] == 40 and measured["at_threshold"]["flagged_ok"]["n"] == 20
    facts = update(bundle, tmp_path / "next.bundle", Wish(data=data), say=lambda _: None)
    assert facts["labels"] == ["ok", "scratch", "spot"]


def test_models_that_were_compared_before_are_paid_for_after_every_update(bundle: Path, tmp_path: Path) -> None:
    parent = compared(Path(shutil.copytree(bundle, tmp_path / "parent.bundle")), 3)
    for step in range(2):
        data = drawn(tmp_path / f"new{step}", {"ok": 6, "scratch": 6}, seed=60_000 + 5000 * step)
        wish = Wish(data=data, accept=("new images",))
        facts = update(parent, tmp_path / f"{step}.bundle", wish, say=lambda _: None)
        assert facts["candidates"] == 3 and facts["conformal"]["alpha"] == pytest.approx(0.1 / 3)
        found = facts["certificate"]
        assert found["missed"] == 0
        assert found["certified_recall"] == pytest.approx((0.05 / 3) ** (1 / found["groups"]))
        parent = tmp_path / f"{step}.bundle"


def test_what_is_forgotten_is_gone_from_every_file_of_the_bundle(bundle: Path, pictures: Path, tmp_path: Path) -> None:
    old = memory.load(bundles.load(bundle))
    trained = next(i for i in old.sums.blocks["ok"].ids)
    person = tmp_path / "person"
    (person / "spot").mkdir(parents=True)
    shutil.copy(pictures / "spot" / "001.png", person / "spot")
    cv2.imwrite(str(person / "anew.jpg"), cv2.imread(str(pictures / "spot" / "002.png")))
    said: list[str] = []
    facts = update(bundle, tmp_path / "left.bundle", Wish(forget=(trained[:12], str(person))), say=said.append)
    assert any("1 of its 2 images are not in the bundle, e.g. anew.jpg" in text for text in said)
    kept = memory.load(bundles.load(tmp_path / "left.bundle"))
    gone = set(old.labels) - set(kept.labels)
    assert len(gone) == 2 and trained in gone
    for file in (tmp_path / "left.bundle").iterdir():
        data = file.read_bytes()
        assert not any(i.encode() in data for i in gone), file
    assert facts["update"]["forgotten"] == 2
    with pytest.raises(DataError, match="no image of this id"):
        update(bundle, tmp_path / "x.bundle", Wish(forget=("ffffffffffff0000",)), say=lambda _: None)
    digit, count = Counter(i[0] for i in old.labels).most_common(1)[0]
    with pytest.raises(DataError, match=f"--forget {digit}: {count} images begin so .*give more digits"):
        update(bundle, tmp_path / "x.bundle", Wish(forget=(digit,)), say=lambda _: None)


def test_a_label_is_corrected_where_images_are_but_a_sum(bundle: Path, pictures: Path, tmp_path: Path) -> None:
    old = memory.load(bundles.load(bundle)).sums
    wrong = next(p for p in sorted((pictures / "ok").iterdir()) if images.content_hash(p)[:16] in old.blocks["ok"].ids)
    blocks = {label: block.fold(old.origin) for label, block in old.blocks.items()}
    replace(old, blocks=blocks).save(shutil.copytree(bundle, tmp_path / "sums.bundle"))
    (tmp_path / "new" / "spot").mkdir(parents=True)
    shutil.copy(wrong, tmp_path / "new" / "spot")
    wish = Wish(data=tmp_path / "new", accept=("labels of the new images", "new images"))
    update(compared(tmp_path / "sums.bundle", 1), tmp_path / "next.bundle", wish, say=lambda _: None)
    after = memory.load(bundles.load(tmp_path / "next.bundle"))
    assert after.labels[images.content_hash(wrong)[:16]] == "spot"
    assert len(after.sums.blocks["ok"].folded) == len(blocks["ok"].folded) - 1


def test_a_model_that_was_put_into_the_place_of_the_checked_one_is_not_taken(bundle: Path, tmp_path: Path) -> None:
    opened = bundles.load(shutil.copytree(bundle, tmp_path / "own.bundle"))
    (opened.path / bundles.MODEL).write_bytes(b"another one")
    with pytest.raises(BundleError, match="was replaced while it was being loaded"):
        candidate.opened(opened)
    (opened.path / SAMPLES).write_text("id,split\n")
    with pytest.raises(BundleError, match="was replaced while it was being loaded"):
        memory.load(opened)


def test_two_sites_pool_their_sums_and_share_no_picture(bundle: Path, cache: Path, tmp_path: Path) -> None:
    from shared.build import build
    from shared.recipe import Recipe

    far = drawn(tmp_path / "far", {"ok": 30, "scratch": 25, "dent": 25}, seed=90_000)
    recipe = Recipe(image_size=64, threads=1, search=False, finetune=False)
    build(far, tmp_path / "far.bundle", recipe=recipe, budget_seconds=120, cache=cache, say=lambda _: None)
    own_copy = compared(Path(shutil.copytree(bundle, tmp_path / "own.bundle")), 3)
    wish = Wish(merge=compared(tmp_path / "far.bundle", 2))
    facts = update(own_copy, tmp_path / "both.bundle", wish, say=lambda _: None)
    assert facts["candidates"] == 4
    made = Runtime.open(tmp_path / "both.bundle")
    assert made.labels == ("dent", "ok", "scratch", "spot")
    own, other = (memory.load(bundles.load(p)) for p in (bundle, tmp_path / "far.bundle"))
    together = memory.load(made.bundle)
    assert together.sums.ids == own.sums.ids | other.sums.ids
    expected = refitted(made)
    merged = together.sums.head(made.bundle.card["chosen"]["strength"])
    np.testing.assert_allclose(merged.weights, expected.weights, rtol=1e-8, atol=1e-8)
    with pytest.raises(DataError, match="is in both bundles"):
        update(bundle, tmp_path / "x.bundle", Wish(merge=bundle), say=lambda _: None)


def test_bundles_are_not_pooled_where_one_learnt_from_what_the_other_is_judged_on(
    bundle: Path, cache: Path, tmp_path: Path
) -> None:
    """The same patient, or the same picture saved anew, must not judge here and teach there; alike they are one."""
    from shared.build import build
    from shared.recipe import Recipe

    far = drawn(tmp_path / "far", {"ok": 30, "scratch": 25, "dent": 25}, seed=90_000)
    recipe = Recipe(image_size=64, threads=1, search=False, finetune=False)
    build(far, tmp_path / "far.bundle", recipe=recipe, budget_seconds=120, cache=cache, say=lambda _: None)

    def with_lines(source: Path, name: str, column: str, said: Mapping[str, str]) -> Path:
        """A copy whose first image of each split has something in a column of its table."""
        out = Path(shutil.copytree(source, tmp_path / name))
        table = pd.read_csv(out / SAMPLES, dtype="string", keep_default_na=False)
        for split, value in said.items():
            table.loc[table.index[table["split"] == split][0], column] = value
        table.to_csv(out / SAMPLES, index=False)
        return compared(out, 1)

    for column, same, named in (
        ("group", "patient-7", "group 'patient-7' (validation here, train there)"),
        ("picture", "f0f0f0f0f0f0f0f0", "which look alike (validation here, train there)"),
    ):
        own = with_lines(bundle, f"own-{column}.bundle", column, {"validation": same})
        other = with_lines(tmp_path / "far.bundle", f"far-{column}.bundle", column, {"train": same})
        with pytest.raises(DataError, match=re.escape(named)):
            update(own, tmp_path / "x.bundle", Wish(merge=other), say=lambda _: None)
        alike = with_lines(tmp_path / "far.bundle", f"alike-{column}.bundle", column, {"validation": same})
        update(own, tmp_path / f"{column}.bundle", Wish(merge=alike), say=lambda _: None)
        after = memory.load(bundles.load(tmp_path / f"{column}.bundle"))
        both = after.table[after.table[column] == same]
        assert len(both) == 2 and both["component"].nunique() == 1
        component = dict(zip(after.held.ids, after.held.components, strict=True))
        assert {component[i] for i in both["id"]} == set(both["component"])


def test_a_mirrored_picture_does_not_teach_here_and_judge_there(
    bundle: Path, pictures: Path, cache: Path, tmp_path: Path
) -> None:
    from shared.build import build
    from shared.recipe import Recipe

    far = drawn(tmp_path / "far", {"ok": 20, "scratch": 20}, seed=90_000)
    split = pd.read_csv(bundle / SAMPLES, dtype="string").set_index("id")["split"]
    known = {images.content_hash(p)[:16]: p for p in sorted((pictures / "scratch").iterdir())}
    held = next(i for i in known if split[i] == "test")
    cv2.imwrite(str(far / "scratch" / "m.png"), np.ascontiguousarray(cv2.imread(str(known[held]))[:, ::-1]))
    rows = [f"{p},{p.parent.name},{'test' if '3.png' in p.name else 'train'}" for p in sorted(far.rglob("*.png"))]
    (tmp_path / "far.csv").write_text("path,label,split\n" + "\n".join(rows))
    recipe = Recipe(image_size=64, threads=1, search=False, finetune=False)
    build(tmp_path / "far.csv", tmp_path / "far.bundle", recipe=recipe, budget_seconds=120, cache=cache)
    with pytest.raises(DataError, match=rf"images {held} and \w+, which look alike \(test here, "):
        update(bundle, tmp_path / "x.bundle", Wish(merge=tmp_path / "far.bundle"), say=lambda _: None)


@pytest.mark.parametrize("fault", ["flipped labels", "washed out"])
def test_a_spoilt_update_is_refused_with_its_reason_and_changes_nothing(
    fault: str, bundle: Path, tmp_path: Path
) -> None:
    data = drawn(tmp_path / "new", {"ok": 30, "scratch": 30}, spoil=0.15 if fault == "washed out" else 1.0)
    if fault == "flipped labels":  # 6 of 60
        for i in range(3):
            (data / "ok" / f"{i:03}.png").rename(data / "scratch" / f"f{i}.png")
            (data / "scratch" / f"{i + 9:03}.png").rename(data / "ok" / f"f{i}.png")
    reason = "new labels are contradicted" if fault == "flipped labels" else "look at light, focus and camera"
    with pytest.raises(Refused, match=reason):
        update(bundle, tmp_path / "next.bundle", Wish(data=data), say=lambda _: None)
    assert not (tmp_path / "next.bundle").exists()
    note = json.loads((tmp_path / "next.bundle.gate.json").read_text())
    assert not note["passed"] and note["parent"] == bundles.load(bundle).hash


def test_a_person_may_answer_for_a_check(bundle: Path, tmp_path: Path) -> None:
    data = drawn(tmp_path / "new", {"ok": 30, "scratch": 30}, spoil=0.15)
    wish = Wish(data=data, accept=("new images", "novelty", "labels of the new images"))
    facts = update(bundle, tmp_path / "next.bundle", wish, say=lambda _: None)
    assert facts["update"]["accepted"] == list(wish.accept)


def test_a_label_that_would_vanish_is_refused() -> None:
    assert "scratch would be gone" in labels_stay(["ok", "scratch"], ["ok"], []).said
    assert labels_stay(["ok", "scratch"], ["ok"], ["scratch"]).passed


def test_recent_images_that_change_their_label_too_often_stop_it(bundle: Path, tmp_path: Path) -> None:
    data = drawn(tmp_path / "new", {"dent": 30})
    recent = drawn(tmp_path / "recent", {"dent": 10}, seed=70_000)
    with pytest.raises(Refused, match="recent images change their label"):
        update(bundle, tmp_path / "next.bundle", Wish(data=data, shadow=recent), say=lambda _: None)


def judged(data: Path, log: Path, *, confirmed: str = "scratch") -> list[Sample]:
    """A review log in which everything of a folder was flagged as a scratch and judged by its class folder."""
    store = Store.open(str(log))
    samples, folder, _ = sources.samples(data)
    for sample in samples:
        path = str((folder / sample.path).resolve())
        payload = {"frame": sample.frame, "samples": [sample.id], "groups": {}}
        store.add_items([Item(sample.path, sample.frame, path, None, "scratch", 0.9, 0.9, payload=payload)])
        rejected = "ok/" in sample.path
        agreed = Action.CONFIRM if confirmed in ("scratch", "SCR") else Action.RELABEL
        action, label = (Action.REJECT, "OK") if rejected else (agreed, confirmed)
        store.record(Review(sample.path, action, label, "A. Inspector", now(), 2.0))
    store.close()
    return samples


WORDS = Taxonomy("1", (Label("OK", "fine", ok=True), Label("SCR", "scratch"), Label("SPT", "spot")))


def test_verdicts_of_a_review_log_teach_and_never_judge(bundle: Path, tmp_path: Path) -> None:
    """What passed is never reviewed: a certificate on verdicts would be blind to every miss."""
    samples = judged(drawn(tmp_path / "seen", {"ok": 12, "scratch": 12}), tmp_path / "reviews.sqlite")
    said: list[str] = []
    wish = Wish(data=tmp_path / "reviews.sqlite")
    facts = update(bundle, tmp_path / "next.bundle", wish, taxonomy=WORDS, say=said.append)
    before, after = Runtime.open(bundle, threads=1).bundle, bundles.load(tmp_path / "next.bundle")
    assert facts["update"]["new_images"] == 24 and facts["labels"] == list(before.labels)
    old, kept = memory.load(before), memory.load(after)
    assert {kept.labels[s.id] for s in samples if "ok/" in s.path} == {"ok"}
    assert kept.sums.ids == old.sums.ids | {s.id for s in samples} and kept.held.ids == old.held.ids
    for counted in ("groups", "positives"):
        assert facts["certificate"][counted] == before.card["certificate"][counted]
    assert facts["update"]["from_review_log"] and any("verdicts of a review log only teach" in text for text in said)


def test_a_verdict_about_a_held_out_image_is_left_out_and_named(bundle: Path, pictures: Path, tmp_path: Path) -> None:
    old = memory.load(bundles.load(bundle))
    names = {images.content_hash(p)[:16]: p for p in (pictures / "scratch").iterdir()}
    held = next(i for i in old.held.ids if i in names)
    (tmp_path / "old" / "scratch").mkdir(parents=True)
    shutil.copy(names[held], tmp_path / "old" / "scratch" / "held.png")
    judged(drawn(tmp_path / "seen", {"scratch": 12}), tmp_path / "reviews.sqlite")
    judged(tmp_path / "old", tmp_path / "reviews.sqlite", confirmed="spot")
    said: list[str] = []
    wish = Wish(data=tmp_path / "reviews.sqlite")
    facts = update(bundle, tmp_path / "next.bundle", wish, taxonomy=WORDS, say=said.append)
    assert facts["update"]["new_images"] == 12
    (why,) = facts["update"]["left_out"]
    assert "held.png: belongs to an image that is held out" in why and f"left out: {why}" in said
    after = memory.load(bundles.load(tmp_path / "next.bundle"))
    assert after.labels[held] == "scratch" and held in after.held.ids


def test_a_label_known_from_verdicts_alone_is_taught_and_nothing_is_certified_about_it(
    bundle: Path, tmp_path: Path
) -> None:
    judged(drawn(tmp_path / "seen", {"dent": 25}), tmp_path / "reviews.sqlite", confirmed="dent")
    said: list[str] = []
    facts = update(bundle, tmp_path / "next.bundle", Wish(data=tmp_path / "reviews.sqlite"), say=said.append)
    assert facts["labels"] == ["dent", "ok", "scratch", "spot"] and facts["test"]["per_label"]["dent"]["n"] == 0
    assert facts["certificate"]["positives"] == bundles.load(bundle).card["certificate"]["positives"]
    assert "no image of dent is held out: nothing is certified about finding it" in said
    assert "No recall can be stated for 'dent'" in (tmp_path / "next.bundle" / "MODEL_CARD.md").read_text()


def test_a_review_log_that_is_not_there_or_holds_no_verdict_is_one_sentence(bundle: Path, tmp_path: Path) -> None:
    missing = tmp_path / "typing_error.sqlite"
    with pytest.raises(DataError, match=r"typing_error.sqlite: does not exist"):
        update(bundle, tmp_path / "x.bundle", Wish(data=missing), say=lambda _: None)
    assert not missing.exists()
    Store.open(str(tmp_path / "new.sqlite")).close()
    with pytest.raises(DataError, match="holds no standing verdict"):
        update(bundle, tmp_path / "x.bundle", Wish(data=tmp_path / "new.sqlite"), say=lambda _: None)
