"""The backbone learns too where the old pictures are given, and the better of both candidates is offered."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from shared.building import adopt
from shared.data import images, sources
from shared.errors import DataError
from shared.export import parity
from shared.inference import Runtime, nearest
from shared.inference import bundle as bundles
from shared.training import kept_backbone
from shared.update import Wish, update
from shared.updating import memory, rehearsed
from shared.updating.gate import Limits
from tests.shared.updating.test_update import drawn


def moved(pictures: Path, folder: Path) -> Path:
    """The pictures under other names and in no class folder: they are found by what is in them."""
    folder.mkdir()
    for i, file in enumerate(sorted(pictures.rglob("*.png"))):
        shutil.copy(file, folder / f"{i:04}.png")
    return folder


@pytest.mark.long
def test_a_backbone_that_learnt_is_kept_whole_and_learns_on(
    bundle: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # On drawn surfaces the closed form leaves nothing to win, so the choice is made for it.
    compared = adopt.against
    monkeypatch.setattr(adopt, "against", lambda *args: replace(compared(*args), adopted=True))
    old, data = moved(pictures, tmp_path / "old"), drawn(tmp_path / "new", {"ok": 20, "dent": 30})
    told: list[str] = []
    # How much is learnt depends on the machine's speed; what the gate makes of it is tested elsewhere.
    limits = Limits(drop=1, label_drop=1, brier=2, novel=1)
    facts = update(bundle, tmp_path / "next.bundle", Wish(data=data, rehearse=old, limits=limits), say=told.append)
    assert "140 of 140 old images found" in " ".join(told)
    trial = facts["tried"][1]
    assert facts["chosen"]["name"] == rehearsed.NAME and trial["adopted"], trial["why"]
    assert trial["details"]["exemplars"] == 60 and trial["details"]["not_found"] == []

    text = (tmp_path / "next.bundle" / bundles.CARD).read_text()
    card = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert [trial["name"] for trial in card["tried"]] == ["updated head", rehearsed.NAME]
    made = Runtime.open(tmp_path / "next.bundle")
    before, after = memory.load(bundles.load(bundle)), memory.load(made.bundle)
    assert set(after.labels) > set(before.labels) and len(after.labels) == 190
    assert after.sums.backbone != before.sums.backbone
    net, recipe = kept_backbone.load(made.bundle)
    seen = [images.read(p) for p in sorted(data.rglob("*.png"))[:8]]
    answers = made.predict(seen, features=True)
    assert parity.relative_difference(parity.torch_features(net, seen), answers.features) < 0.05
    assert recipe.image_size == 64

    # What comes next keeps the network, with and without rehearsal.
    more = drawn(tmp_path / "more", {"dent": 20}, seed=60_000)
    forget = (after.held.ids[0],)
    wish = Wish(data=more, forget=forget, limits=limits)
    facts = update(tmp_path / "next.bundle", tmp_path / "third.bundle", wish, say=told.append)
    assert facts["update"]["backbone_may_remember"] and any("build again without" in text for text in told)
    files = [tmp_path / f"{name}.bundle" / bundles.NETWORK for name in ("next", "third")]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_without_enough_of_the_old_pictures_the_closed_form_is_offered_and_says_so(
    bundle: Path, pictures: Path, tmp_path: Path
) -> None:
    old = moved(pictures, tmp_path / "old")
    kept = nearest.load(bundle)
    assert kept is not None
    held = set(memory.load(bundles.load(bundle)).held.ids)
    samples, folder, _ = sources.samples(old)
    for sample in [s for s in samples if s.id in held][:12]:
        (folder / sample.path).unlink()
    data = drawn(tmp_path / "new", {"ok": 20, "dent": 20})
    told: list[str] = []
    facts = update(bundle, tmp_path / "next.bundle", Wish(data=data, rehearse=old), say=told.append)
    assert facts["chosen"]["name"] == "updated head" and "held-out images, needed are 90%" in facts["tried"][1]["why"]
    assert sum(line.startswith("not found: ") for line in told) == 11 and "not found: 2 more" in told
    assert not (tmp_path / "next.bundle" / bundles.NETWORK).exists()

    shutil.rmtree(old)
    (old / "few").mkdir(parents=True)
    shutil.copy(pictures / "ok" / "000.png", old / "few")
    facts = update(bundle, tmp_path / "next.bundle", Wish(data=data, rehearse=old), say=lambda _: None)
    assert "exemplars, needed are 50%" in facts["tried"][1]["why"]
    with pytest.raises(DataError, match="does not exist"):
        update(bundle, tmp_path / "x.bundle", Wish(data=data, rehearse=tmp_path / "typo"), say=lambda _: None)


def test_exemplars_stand_for_each_label_and_not_for_what_came_in_now(bundle: Path) -> None:
    kept = memory.load(bundles.load(bundle))
    fresh = frozenset(kept.sums.blocks["spot"].ids[:4])
    chosen = rehearsed.chosen(kept, fresh)
    by_label = {label: [i for i in chosen if i in block.ids] for label, block in kept.sums.blocks.items()}
    assert {label: len(ids) for label, ids in by_label.items()} == {
        label: min(rehearsed.PER_LABEL, len(set(block.ids) - fresh)) for label, block in kept.sums.blocks.items()
    }
    assert not fresh & set(chosen)
    block = kept.sums.blocks["ok"]
    rows = [block.ids.index(i) for i in by_label["ok"]]
    unit = block.rows / np.linalg.norm(block.rows, axis=1, keepdims=True)
    lot = np.random.default_rng(1).permutation(len(unit))[: len(rows)]
    off = [np.linalg.norm(unit[own].mean(0) - unit.mean(0)) for own in (rows, lot)]
    assert off[0] < off[1]
