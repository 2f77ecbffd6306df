import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from shared.build import build
from shared.data import images
from shared.errors import BundleError, ConfigError, DataError
from shared.evaluate import evaluate, unseen
from shared.inference import Runtime
from shared.inference import bundle as bundles
from shared.recipe import Recipe
from shared.taxonomy import Label, Taxonomy

ROOT = Path(__file__).resolve().parents[2]
SMALL = Recipe(image_size=64, threads=1, search=False, finetune=False)


def quiet(text: str) -> None:
    pass


def test_a_folder_of_pictures_becomes_a_model_that_tells_them_apart(bundle: Path, pictures: Path) -> None:
    facts, seen, problems = evaluate(Runtime.open(bundle), pictures)
    assert facts["balanced_accuracy"]["value"] > 0.6 and not problems
    assert facts["n"] == len(seen) == 28 and facts["used_for_building"] == 112
    assert facts["at_threshold"]["recall"]["n"] == 16


def test_the_card_says_what_it_was_made_from_and_what_it_can_be_held_to(bundle: Path) -> None:
    card = bundles.load(bundle).card
    assert card["ok_label"] == "ok" and card["labels"] == ["ok", "scratch", "spot"]
    assert card["backbone"]["weights"].startswith("embedded") and not card["backbone"]["note"]
    certificate = card["certificate"]
    groups = certificate["groups"]
    assert 14 <= groups <= certificate["positives"] == 16 and certificate["more_needed"] == 149 - groups
    assert certificate["certified_recall"] == pytest.approx(0.05 ** (1 / groups))
    assert card["onnx_parity"]["images"] == 8 and card["onnx_parity"]["max_difference"] < 1e-2
    assert card["seconds"] <= card["budget_seconds"]


def test_the_report_shows_where_it_looked_and_whether_that_can_be_believed(bundle: Path) -> None:
    page = bundle.with_name(bundle.name + ".html").read_text(encoding="utf-8")
    shown = int(page.split(" maps, <b>")[0].rsplit("Of ", 1)[1])
    assert shown == page.count('alt="class map for ') == page.count("<figure")
    assert page.count("<br>map: ") == shown and "can be believed" in page


def test_evaluation_leaves_out_what_the_bundle_has_seen_also_for_windows(bundle: Path, pictures: Path) -> None:
    """Ids of windows hold commas; the list of samples must survive them."""
    from shared.data.manifest import Manifest, Row
    from shared.evaluate import SAMPLES, samples_table
    from shared.records import Box, Sample

    rows = tuple(
        Row(Sample(f"ab@{i},0,8,8", "f.png", 8, 8, window=Box(i, 0, i + 8, 8)), "x", s)
        for i, s in enumerate(("train", "test"))
    )
    opened = bundles.load(bundle)
    folder = pictures.parent / "samples-only"
    folder.mkdir(exist_ok=True)
    table = samples_table(Manifest(rows, folder), {row.sample.id: i for i, row in enumerate(rows)})
    table.to_csv(folder / SAMPLES, index=False)
    left = unseen(replace(opened, path=folder), Manifest(rows, folder))
    assert [row.sample.id for row in left] == ["ab@1,0,8,8"]


def test_the_second_build_takes_features_from_the_cache_and_gives_the_same_model(
    bundle: Path, pictures: Path, cache: Path, tmp_path: Path
) -> None:
    again = build(pictures, tmp_path / "again.bundle", recipe=SMALL, budget_seconds=60, cache=cache, say=quiet)
    picture = [images.read(next((pictures / "spot").iterdir()))]
    first, second = Runtime.open(bundle).predict(picture), Runtime.open(tmp_path / "again.bundle").predict(picture)
    assert np.array_equal(first.probabilities, second.probabilities)
    assert again["seconds"] < 20


def test_a_folder_that_is_no_bundle_is_never_overwritten(pictures: Path, cache: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(BundleError, match="is no bundle; give another name"):
        build(pictures, tmp_path, recipe=SMALL, budget_seconds=60, cache=cache, say=quiet)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_a_truncated_picture_is_listed_and_the_rest_is_built(pictures: Path, cache: Path, tmp_path: Path) -> None:
    import shutil

    import cv2

    data = tmp_path / "data"
    shutil.copytree(pictures, data)
    whole = cv2.imencode(".jpg", cv2.imread(str(next((data / "ok").iterdir()))))[1].tobytes()
    (data / "ok" / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    facts = build(data, tmp_path / "b.bundle", recipe=SMALL, budget_seconds=60, cache=cache, say=quiet)
    assert facts["used_images"] == 140
    assert len(facts["left_out"]) == 1 and "cut.jpg" in facts["left_out"][0]


def test_a_folder_with_one_class_is_refused(pictures: Path, cache: Path, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(pictures / "ok", tmp_path / "one" / "ok")
    with pytest.raises(DataError, match="two labels or more are needed, found only 'ok'"):
        build(tmp_path / "one", tmp_path / "b.bundle", recipe=SMALL, budget_seconds=60, cache=cache, say=quiet)
    assert not (tmp_path / "b.bundle").exists()


@pytest.mark.parametrize(
    ("recipe", "said"),
    [
        (Recipe(backbone="resnet81"), "did you mean 'resnet"),
        (Recipe(backbone="resnet18", weights="/nowhere/w.safetensors"), "does not exist; give a safetensors file"),
    ],
)
def test_a_backbone_that_cannot_be_had_says_what_to_do(
    recipe: Recipe, said: str, pictures: Path, cache: Path, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=said):
        build(pictures, tmp_path / "b.bundle", recipe=recipe, budget_seconds=60, cache=cache, say=quiet)


def test_weights_of_another_network_are_refused(
    real_weights: Path, pictures: Path, cache: Path, tmp_path: Path
) -> None:
    recipe = Recipe(backbone="resnet18", weights=str(real_weights))
    with pytest.raises(ConfigError, match="tensors do not fit the backbone"):
        build(pictures, tmp_path / "b.bundle", recipe=recipe, budget_seconds=60, cache=cache, say=quiet)


def test_being_offline_is_noticed_within_three_seconds(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from shared.errors import Offline
    from shared.training import backbones

    for name in ("HF_HUB_OFFLINE", "HTTPS_PROXY", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    # A port of this machine where nobody listens, and a name that no resolver knows.
    for hub in (("127.0.0.1", 9), ("hub.invalid", 443)):
        monkeypatch.setattr(backbones, "HUB", hub)
        started = time.monotonic()
        with pytest.raises(Offline, match="give --weights FILE"):
            backbones.create(Recipe(backbone="resnet18"))
        assert time.monotonic() - started < 3


@pytest.mark.long
def test_killed_at_any_moment_a_build_leaves_a_whole_bundle_or_none_and_a_rerun_continues(
    bundle: Path, pictures: Path, cache: Path, tmp_path: Path
) -> None:
    """Ten kills at random moments; ``bundle`` has put the exported backbone into the cache."""
    rng = random.Random(0)
    out = tmp_path / "killed.bundle"
    code = f"""
from pathlib import Path
import shared.build
from shared.recipe import Recipe
from shared.tuning import Tuning
shared.build.ENOUGH = 2.0  # these pictures are so easy that fine-tuning would be left out
tuning = Tuning(epochs=1, image_size=64, batch=16, soup=1)
recipe = Recipe(image_size=64, threads=1, seed=0, search=False, tuning=tuning)
shared.build.build(Path({str(pictures)!r}), Path({str(out)!r}), recipe=recipe,
      budget_seconds=90, cache=Path({str(tmp_path / "cache")!r}), say=lambda text: None)
"""
    import shutil

    shutil.copytree(cache / "backbones", tmp_path / "cache" / "backbones")
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}

    log = tmp_path / "stderr.txt"

    def started() -> "subprocess.Popen[bytes]":
        with log.open("wb") as stream:
            return subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, env=environment, stderr=stream)

    begun = time.monotonic()
    assert started().wait(timeout=120) == 0
    whole = time.monotonic() - begun
    first = bundles.load(out).hash
    shutil.rmtree(out)
    (tmp_path / "cache" / "features").rename(tmp_path / "gone")
    for attempt in range(10):
        process = started()
        time.sleep(rng.uniform(0.3, 1.0) * whole)
        process.send_signal(signal.SIGKILL)
        process.wait()
        if (out / bundles.CARD).exists():
            Runtime.open(out)  # raises unless it is whole and unaltered
        elif out.exists():
            pytest.fail(f"after kill {attempt} a folder without a card lies at the bundle's place")
    assert started().wait(timeout=120) == 0, log.read_text()
    card = bundles.load(out).card
    assert card["used_images"] == 140 and card["bundle_hash"] != first
    # What is left beside it are at most hidden folders of killed runs, never a second bundle.
    assert [p.name for p in tmp_path.glob("*.bundle")] == ["killed.bundle"]


@pytest.mark.long
def test_an_adopted_fine_tuning_becomes_the_bundle_with_its_card_and_page(
    pictures: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """These pictures are so easy that nothing beats the closed form: the two verdicts alone are replaced.

    One picture is there twice: copies share an id, and were once taken for an image that had not been seen in time.
    """
    import shutil
    from dataclasses import replace

    import shared.build as building
    from shared.building import adopt
    from shared.training.soup import Score
    from shared.tuning import Tuning

    monkeypatch.setattr(building, "ENOUGH", 2.0)
    data = tmp_path / "data"
    shutil.copytree(pictures, data)
    shutil.copy(data / "ok" / "000.png", data / "ok" / "again.png")
    monkeypatch.setattr(Score, "better", lambda self, other: True)
    judged = adopt.against
    monkeypatch.setattr(adopt, "against", lambda *all_: replace(judged(*all_), adopted=True))
    recipe = Recipe(image_size=64, threads=1, search=False, tuning=Tuning(epochs=4, image_size=64, batch=16, soup=2))
    out = tmp_path / "tuned.bundle"
    said: list[str] = []
    facts = build(data, out, recipe=recipe, budget_seconds=120, cache=cache, say=said.append)
    assert facts["chosen"]["name"] == "fine-tuned", said
    assert facts["seconds"] <= 120 and facts["candidates"] == 2
    assert "fine-tuned" in (out / "MODEL_CARD.md").read_text() and "fine-tuned" in Path(facts["report"]).read_text()
    measured, _, _ = evaluate(Runtime.open(out), data)
    assert measured["balanced_accuracy"]["value"] == pytest.approx(facts["test"]["balanced_accuracy"]["value"])
    # It keeps the network that has learnt, so that it can learn again: the same features as its graph gives.
    from shared.export import parity
    from shared.training import kept_backbone
    from shared.updating import candidate

    some = [images.read(path) for path in sorted((data / "spot").iterdir())[:4]]
    net, _ = kept_backbone.load(bundles.load(out))
    expected = candidate.features_of(candidate.opened(bundles.load(out)), some)
    assert parity.relative_difference(expected, parity.torch_features(net, some)) < parity.TOLERANCE


@pytest.mark.long
def test_where_validation_cannot_tell_training_images_are_asked_that_neither_way_has_learnt_from(
    pictures: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first verdict on the fine-tuning is replaced: on these pictures nothing is better than the closed form."""
    import shared.build as building
    from shared.building import adopt, second_opinion
    from shared.building.candidates import judges_checkpoints
    from shared.building.work import parts
    from shared.training.soup import Score
    from shared.tuning import Tuning

    monkeypatch.setattr(building, "ENOUGH", 2.0)
    monkeypatch.setattr(Score, "better", lambda self, other: True)
    undecided, ask = adopt.undecided, second_opinion.ask
    asked: list[tuple[Any, second_opinion.Opinion | None]] = []

    def asks(*given: Any) -> second_opinion.Opinion | None:
        asked.append((given, ask(*given)))
        return asked[-1][1]

    monkeypatch.setattr(adopt, "undecided", lambda trial: undecided(trial) or trial.name == "fine-tuned")
    monkeypatch.setattr(second_opinion, "ask", asks)
    tuning = Tuning(epochs=4, image_size=64, batch=16, soup=1, bolder=0)
    recipe = Recipe(image_size=64, threads=2, search=False, tuning=tuning)
    said: list[str] = []
    out = tmp_path / "asked.bundle"
    facts = build(pictures, out, recipe=recipe, budget_seconds=300, cache=cache, say=said.append)
    [((work, closed, _, rows, _), opinion)] = asked
    train = parts(work, rows, closed.known)["train"]
    core = ~judges_checkpoints(train, work.recipe)
    assert opinion is not None and sorted(opinion.groups) == sorted(map(str, train.components[core])), said
    assert len(opinion.y) == core.sum() and np.allclose(opinion.old.sum(1), 1) and np.allclose(opinion.new.sum(1), 1)
    # Their own folds of the closed-form head say about what the head says of parts it did not learn from.
    assert (opinion.old.argmax(1) == opinion.y).mean() == pytest.approx(closed.inner, abs=0.1)
    assert (opinion.new.argmax(1) == opinion.y).mean() > 0.6
    trial = facts["tried"][-1]
    counted = len(opinion.y) + len(parts(work, rows, closed.known)["validation"].y)
    assert trial["difference"]["n"] == counted and f"on {len(opinion.y)} training images" in trial["why"]
    assert facts["candidates"] == 2 and facts["seconds"] <= 300
    assert "second opinion" in [stage["name"] for stage in facts["stages"]]


def test_drawn_images_are_said_to_be_drawn_on_the_card_and_the_page(
    pictures: Path, cache: Path, tmp_path: Path
) -> None:
    from shared.data import manifest, sources

    found, _ = sources.read(pictures)
    rows = [
        replace(r, sample=replace(r.sample, path=str(found.file(r.sample)), provenance={"synthetic": True}))
        for r in found.rows
    ]
    manifest.save(found.with_rows(rows), tmp_path / "drawn.csv")
    out = tmp_path / "drawn.bundle"
    facts = build(tmp_path / "drawn.csv", out, recipe=SMALL, budget_seconds=60, cache=cache, say=quiet)
    assert "SYNTHETIC images: 140 of 140" in (out / "MODEL_CARD.md").read_text()
    assert "SYNTHETIC images: 140 of 140" in Path(facts["report"]).read_text()


def test_a_taxonomy_says_which_labels_the_certificate_is_about(pictures: Path, cache: Path, tmp_path: Path) -> None:
    """Where no label means OK: scratch must be found, the two others need not be."""
    entries = tuple(Label(word, word, sought=word == "scratch") for word in ("ok", "scratch", "spot"))
    facts = build(
        pictures,
        tmp_path / "b",
        recipe=SMALL,
        budget_seconds=120,
        cache=cache,
        taxonomy=Taxonomy("1", entries),
        say=quiet,
    )
    assert facts["ok_label"] == "" and facts["unsought"] == ["ok", "spot"]
    assert facts["certificate"]["positives"] == 8 and facts["certificate"]["flagged_ok"] is not None
    runtime = Runtime.open(tmp_path / "b")
    assert runtime.bundle.unsought == ("ok", "spot") and runtime.bundle.threshold is not None
    measured, seen, _ = evaluate(runtime, pictures)
    flagged = [s.probabilities["scratch"] >= runtime.bundle.threshold for row, s in seen if row.label == "scratch"]
    assert measured["at_threshold"]["recall"]["value"] == pytest.approx(np.mean(flagged))
    assert measured["at_threshold"]["flagged_ok"]["n"] == sum(row.label != "scratch" for row, _ in seen)


def test_what_a_random_split_would_promise_stands_beside_what_holds_for_new_groups(cache: Path, tmp_path: Path) -> None:
    """Labels that nothing but a picture's siblings give away: by image they are guessed, by group they are not."""
    random = np.random.default_rng(5)
    lines = ["path,label,group"]
    for group in range(30):
        base = random.integers(0, 255, (8, 8, 3), np.uint8).repeat(16, 0).repeat(16, 1)
        for i in range(3):
            shaken = np.clip(base + random.normal(0, 6, base.shape), 0, 255).astype(np.uint8)
            cv2.imwrite(str(tmp_path / f"{group}_{i}.png"), shaken)
            lines.append(f"{group}_{i}.png,{'ab'[group % 2]},g{group}")
    (tmp_path / "labels.csv").write_text("\n".join(lines))
    out, recipe = tmp_path / "b", replace(SMALL, search=True)
    facts = build(tmp_path / "labels.csv", out, recipe=recipe, budget_seconds=40, cache=cache, say=quiet)
    found = facts["random_split"]
    assert found["images"] == 90 and found["leaky"]["value"] > 0.9 and found["clean"]["value"] < 0.75
    assert found["points"] == pytest.approx(100 * (found["leaky"]["value"] - found["clean"]["value"]))
    assert found["low"] > 0 and found["sentence"] in (out / "MODEL_CARD.md").read_text()
    assert found["sentence"][1:] in Path(facts["report"]).read_text()
    (tmp_path / "alone.csv").write_text("\n".join(lines[:1] + lines[1::3]))
    build(tmp_path / "alone.csv", out, recipe=recipe, budget_seconds=40, cache=cache, say=quiet)
    assert "no image has a sibling" in bundles.load(out).card["random_split"]["sentence"]
