"""What a review log teaches: the pictures that were judged, whole, and none that belong to those held out."""

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import pandas as pd

from shared import decisions
from shared.build import build
from shared.data import sources
from shared.evaluate import SAMPLES
from shared.inference import bundle as bundles
from shared.recipe import Recipe
from shared.records import Action, Box, Decision, Finding, Review, Sample, Verdict
from shared.review.log import now
from shared.review.store import Store
from shared.update import Wish, update
from shared.updating import memory
from shared.vertical import Case, Seen
from tests.conftest import texture


def pictures_of(folder: Path, n: int, *, seed: int) -> list[Sample]:
    """So many scratches as whole images, their paths absolute."""
    folder.mkdir(parents=True)
    for i in range(n):
        cv2.imwrite(str(folder / f"{seed + i}.png"), texture("scratch", seed + i))
    samples, where, _ = sources.samples(folder)
    return [replace(s, path=str(where / s.path), frame=Path(s.path).name) for s in samples]


def queued(log: Path, samples: Sequence[Sample], findings: Mapping[str, Box | None]) -> Store:
    """Each sample's findings as lines of a prediction, read back and put into the queue."""
    written = log.with_suffix(".jsonl")
    with decisions.writer(written) as stream:
        for s in samples:
            seen = (Seen(s, {"ok": 0.1, "scratch": 0.9}, 0.2),)
            found = tuple(
                Finding(s.frame, label, 0.9, 0.9, box, samples=(s.id,), why="seen") for label, box in findings.items()
            )
            case = Case(s.frame, seen, 1.0, (), "ok", 0.5, ("ok",))
            line = decisions.line(Decision(s.frame, Verdict.FLAG, ("seen",), found), case, log.parent)
            stream.write(json.dumps(line) + "\n")
    store = Store.open(str(log))
    store.add(decisions.read(written))
    return store


def judge(store: Store, label: str, action: Action = Action.CONFIRM, *, but: str = "") -> None:
    """Judge every item of a label, but for one frame's."""
    for item in store.items():
        if item.label == label and item.frame != but:
            said = "ok" if action is Action.REJECT else item.label
            store.record(Review(item.id, action, said, "A. Inspector", now(), 2.0), shown=item.digest)


def learnt(bundle: Path, log: Path, out: Path) -> dict[str, Any]:
    """The facts of an update by a log alone."""
    return update(bundle, out, Wish(data=log), say=lambda _: None)


def test_pictures_of_a_held_out_group_are_not_learnt_from(bundle: Path, tmp_path: Path) -> None:
    parent = Path(shutil.copytree(bundle, tmp_path / "parent.bundle"))
    table = pd.read_csv(parent / SAMPLES, dtype="string", keep_default_na=False)
    table.loc[table.index[table["split"] == "validation"][0], "group"] = "patient-1"
    table.to_csv(parent / SAMPLES, index=False)
    sealed = ("format", "files", "bundle_hash")
    bundles.seal(parent, {k: v for k, v in bundles.load(bundle).card.items() if k not in sealed})

    own = [replace(s, group="patient-1") for s in pictures_of(tmp_path / "a", 6, seed=80_000)]
    other = [replace(s, group="patient-2") for s in pictures_of(tmp_path / "b", 12, seed=81_000)]
    judge(queued(tmp_path / "log.sqlite", [*own, *other], {"scratch": None}), "scratch")
    facts = learnt(parent, tmp_path / "log.sqlite", tmp_path / "next.bundle")
    assert facts["update"]["new_images"] == 12 and len(facts["update"]["left_out"]) == 6
    assert all("belongs to an image that is held out" in why for why in facts["update"]["left_out"])
    after = memory.load(bundles.load(tmp_path / "next.bundle")).table
    new = after[after["id"].isin([s.id for s in other])]
    assert set(new["group"]) == {"patient-2"} and new["component"].nunique() == 1


def test_a_prediction_of_an_earlier_version_is_said_not_to_know_its_groups(bundle: Path, tmp_path: Path) -> None:
    samples = pictures_of(tmp_path / "a", 12, seed=80_000)
    queued(tmp_path / "log.sqlite", samples, {"scratch": None}).close()
    written = tmp_path / "log.jsonl"
    lines = [json.loads(text) for text in written.read_text().splitlines()]
    written.write_text("".join(json.dumps({k: v for k, v in x.items() if k != "groups"}) + "\n" for x in lines))
    store = Store.open(str(tmp_path / "old.sqlite"))
    store.add(decisions.read(written))
    judge(store, "scratch")
    (why,) = learnt(bundle, tmp_path / "old.sqlite", tmp_path / "next.bundle")["update"]["left_out"]
    assert "12 verdict(s) are about predictions of an earlier version" in why


def test_a_file_that_holds_another_picture_by_now_is_left_out_and_named(bundle: Path, tmp_path: Path) -> None:
    samples = pictures_of(tmp_path / "a", 12, seed=80_000)
    judge(queued(tmp_path / "log.sqlite", samples, {"scratch": None}), "scratch")
    cv2.imwrite(samples[3].path, texture("ok", 83_000))  # the next part, under the camera's same file name
    Path(samples[5].path).unlink()
    facts = learnt(bundle, tmp_path / "log.sqlite", tmp_path / "next.bundle")
    changed, gone = sorted(facts["update"]["left_out"], key=lambda why: "cannot be read" in why)
    assert samples[3].path in changed and f"{samples[3].id} was judged: it is another picture" in changed
    assert samples[5].path in gone and "cannot be read (No such file or directory)" in gone
    known = memory.load(bundles.load(tmp_path / "next.bundle")).labels
    assert {s.id for s in samples} - set(known) == {samples[3].id, samples[5].id}


def test_a_tile_of_which_a_finding_waits_is_not_taught_as_ok(bundle: Path, tmp_path: Path) -> None:
    whole = pictures_of(tmp_path / "a", 12, seed=80_000)
    tiles = [replace(s, id=f"{s.id}@0,0,64,64", window=Box(0, 0, 64, 64)) for s in whole]
    store = queued(tmp_path / "log.sqlite", tiles, {"dust": Box(1, 1, 9, 9), "scratch": Box(30, 30, 60, 60)})
    judge(store, "dust", Action.REJECT)
    judge(store, "scratch", but=tiles[0].frame)
    facts = learnt(bundle, tmp_path / "log.sqlite", tmp_path / "next.bundle")
    known = memory.load(bundles.load(tmp_path / "next.bundle")).labels
    assert tiles[0].id not in known and {known[t.id] for t in tiles[1:]} == {"scratch"}
    (why,) = facts["update"]["left_out"]
    assert "1 picture(s) with a finding that nobody has judged yet" in why


def test_a_bundle_without_a_vertical_learns_in_its_own_words_what_the_page_says_in_codes(
    pictures: Path, cache: Path, tmp_path: Path
) -> None:
    data = shutil.copytree(pictures, tmp_path / "pictures")
    (data / "ok").rename(data / "good")
    recipe = Recipe(image_size=64, threads=1, search=False, finetune=False)
    build(data, tmp_path / "a.bundle", recipe=recipe, budget_seconds=120, cache=cache, say=lambda _: None)
    log = tmp_path / "reviews.sqlite"
    store = queued(log, pictures_of(tmp_path / "seen", 6, seed=90_000), {"scratch": None})
    for i, item in enumerate(store.items()):
        action, code = ((Action.CONFIRM, "SCR"), (Action.REJECT, "OK"))[i % 2]
        store.record(Review(item.id, action, code, "A. Inspector", now(), 2.0), shown=item.digest)
    store.close()
    accepted = ("labels of the new images", "new images")
    facts = update(tmp_path / "a.bundle", tmp_path / "b.bundle", Wish(data=log, accept=accepted), say=lambda _: None)
    assert facts["labels"] == ["good", "scratch", "spot"] and facts["ok_label"] == "good"


def test_what_was_confirmed_to_be_unknown_names_no_label(bundle: Path, tmp_path: Path) -> None:
    log = tmp_path / "reviews.sqlite"
    judge(queued(log, pictures_of(tmp_path / "known", 4, seed=90_000), {"scratch": None}), "scratch")
    judge(queued(log, pictures_of(tmp_path / "strange", 2, seed=90_100), {"UNKNOWN": None}), "UNKNOWN")
    facts = learnt(bundle, log, tmp_path / "next.bundle")
    assert facts["labels"] == ["ok", "scratch", "spot"] and facts["update"]["new_images"] == 4
    assert sum("was confirmed as UNKNOWN" in why for why in facts["update"]["left_out"]) == 2
