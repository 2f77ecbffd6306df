import json
from pathlib import Path

import numpy as np
import pytest

from shared.data import images
from shared.errors import BundleError, DataError
from shared.inference import Runtime, nearest


def made(n: int = 90, features: int = 200, seed: int = 0, **options: object) -> tuple[nearest.Exemplars, np.ndarray]:
    """Three kinds of images in few directions, on features of very different size."""
    rng = np.random.default_rng(seed)
    kinds = rng.normal(size=(3, features))
    size = 10.0 ** rng.uniform(-3, 3, features)
    x = (kinds[np.arange(n) % 3] + 0.3 * rng.normal(size=(n, features)) + 5) * size
    ids, labels = [f"{i:016x}" for i in range(n)], [f"kind {i % 3}" for i in range(n)]
    found = nearest.fit(x, ids, labels, mean=x.mean(0), deviation=x.std(0), **options)  # type: ignore[arg-type]
    return found, x


def test_each_training_image_is_its_own_nearest_and_its_kind_comes_next() -> None:
    found, x = made()
    for i, best in enumerate(found.nearest(x, 5)):
        assert best[0].id == f"{i:016x}" and best[0].similarity == pytest.approx(1, abs=2e-3)
        assert {n.label for n in best} == {f"kind {i % 3}"}
        assert [n.similarity for n in best] == sorted((n.similarity for n in best), reverse=True)


def test_similarity_is_the_cosine_of_the_standardised_features_about_their_mean() -> None:
    """All directions are kept, so that nothing is lost but half the precision; the head's mean is another one."""
    rng = np.random.default_rng(1)
    x = rng.normal(3, 2, (60, 12))
    mean, deviation = x[:30].mean(0), x.std(0) * 1.5
    names = [str(i) for i in range(60)]
    found = nearest.fit(x, names, names, mean=mean, deviation=deviation, components=12)
    new = rng.normal(3, 2, (5, 12))
    a, b = (new - x.mean(0)) / deviation, (x - x.mean(0)) / deviation
    cosine = (a @ b.T) / np.linalg.norm(a, axis=1)[:, None] / np.linalg.norm(b, axis=1)
    for row, best in zip(cosine, found.nearest(new, 60), strict=True):
        assert [n.similarity for n in best] == pytest.approx([row[int(n.id)] for n in best], abs=3e-3)


def test_what_is_saved_is_what_is_read_and_equal_exemplars_give_equal_bytes(tmp_path: Path) -> None:
    found, x = made(paths=[f"Bilder/{i} ü.png" for i in range(90)])
    file = found.save(tmp_path)
    again = nearest.load(tmp_path)
    assert again is not None and again.nearest(x[:7], 3) == found.nearest(x[:7], 3)
    assert again.paths[4] == "Bilder/4 ü.png" and again.vectors.dtype == np.float16
    first = file.read_bytes()
    again.save(tmp_path)
    assert file.read_bytes() == first


def test_ten_thousand_images_stay_below_three_megabytes(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    hashes = [rng.bytes(8).hex() for _ in range(10_000)]
    noise = nearest.Exemplars(
        tuple(hashes),
        tuple(f"images/part_{i % 700}/frame_{i}.jpg" for i in range(10_000)),
        tuple(f"label {i % 7}" for i in range(10_000)),
        rng.normal(size=(10_000, 64)).astype(np.float16),
        rng.normal(size=3504).astype(np.float32),
        rng.uniform(size=3504).astype(np.float32),
        rng.normal(size=(3504, 64)).astype(np.float16),
    )
    assert noise.save(tmp_path).stat().st_size < 3_000_000


def test_of_more_images_than_wanted_some_are_drawn_with_their_own_names() -> None:
    found, x = made(most=20)
    assert len(found.ids) == len(found.vectors) == 20
    whole = x[[int(i, 16) for i in found.ids]]
    assert [n[0].id for n in found.nearest(whole, 1)] == list(found.ids)


def test_paths_are_kept_only_where_they_are_given(tmp_path: Path) -> None:
    found, x = made()
    assert set(found.paths) == {""} and found.nearest(x[:1], 1)[0][0].path == ""


def test_a_bundle_without_exemplars_has_none(tmp_path: Path) -> None:
    assert nearest.load(tmp_path) is None


@pytest.mark.parametrize("damage", ["cut", "text", "short", "pickle"])
def test_a_damaged_file_is_one_sentence(tmp_path: Path, damage: str) -> None:
    found, _ = made()
    file = found.save(tmp_path)
    if damage == "cut":
        file.write_bytes(file.read_bytes()[:2000])
    elif damage == "text":
        file.write_text("no archive")
    else:
        with np.load(file) as stored:
            parts = dict(stored)
        if damage == "short":
            names = json.loads(parts["names"].tobytes())
            parts["names"] = np.frombuffer(json.dumps({**names, "ids": names["ids"][1:]}).encode(), np.uint8)
        else:
            parts["names"] = np.array([{"ids": []}], object)
        np.savez(file, **parts)
    with pytest.raises(BundleError, match=r"exemplars\.npz: .*build again"):
        nearest.load(tmp_path)


@pytest.mark.parametrize("shape", [(3, 199), (200,)])
def test_features_of_another_model_are_refused(shape: tuple[int, ...]) -> None:
    found, _ = made()
    with pytest.raises(DataError, match=r"allowed is \(images, 200\)"):
        found.nearest(np.zeros(shape))


def test_no_images_have_no_neighbours() -> None:
    found, x = made()
    assert found.nearest(x[:0]) == ()


def test_the_features_a_bundle_gives_find_the_image_itself(bundle: Path, pictures: Path) -> None:
    files = sorted(pictures.rglob("*.png"))[::4]
    runtime = Runtime.open(bundle, threads=1)
    some = [images.read(p) for p in files]
    features = runtime.predict(some, features=True).features
    assert features is not None and features.shape[0] == len(some)
    labels = [p.parent.name for p in files]
    names = [p.name for p in files]
    found = nearest.fit(features, names, labels, mean=features.mean(0), deviation=features.std(0) + 1e-6)
    alone = runtime.predict(some[5:6], class_map=True, features=True)
    assert alone.features is not None and alone.class_map is not None
    assert found.nearest(alone.features, 1)[0][0].id == names[5]
    assert runtime.predict(some[:1]).features is None
