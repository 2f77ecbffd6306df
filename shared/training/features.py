"""Images in, features of a frozen backbone out: computed once per image and backbone, kept on disk."""

import hashlib
import json
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from shared import atomic
from shared.data import images
from shared.data.manifest import Manifest, Row
from shared.errors import ConfigError, DataError, Problem, require
from shared.inference import runtime
from shared.inference.bundle import file_hash
from shared.recipe import DEFAULT_BACKBONE, EMBEDDED_WEIGHTS, RANDOM, Recipe
from shared.training import cache as cached

VERSION = 1
"""Raise it when the same image and backbone would give other features."""
PARITY_IMAGES = 8


@dataclass(frozen=True)
class Extractor:
    """A frozen backbone as an ONNX graph that agrees with torch.

    Attributes:
        model: ModelProto with input ``image`` and outputs ``features`` and ``field``.
        origin: Where the weights came from, see :class:`shared.training.backbones.Origin`, as a dictionary.
        parity: The comparison with torch, see :class:`shared.export.parity.Parity`, as a dictionary.
        key: Names backbone, weights, transform and version; features of equal key are equal.
    """

    model: Any
    origin: dict[str, Any]
    parity: dict[str, Any]
    key: str

    @property
    def stages(self) -> tuple[int, ...]:
        """Number of feature columns of each stage, in the order of the columns."""
        return tuple(self.origin["stages"])


def extractor(recipe: Recipe, images_for_parity: Sequence[NDArray[np.uint8]], cache: Path) -> Extractor:
    """The backbone of a recipe, exported and compared with torch, or taken from the cache where that was done before.

    Raises:
        ConfigError: Unknown backbone, or weights that do not fit.
        Offline: Weights are wanted from the hub and it cannot be reached.
        ExportError: No exporter agrees with torch.
    """
    onnx = require("onnx", extra="train")
    from shared.export import graph

    key = _key(recipe)
    stored, record = cache / "backbones" / f"{key}.onnx", cache / "backbones" / f"{key}.json"
    if record.is_file() and stored.is_file():
        known = json.loads(record.read_text(encoding="utf-8"))
        # Graphs and records of older versions are made again, which costs seconds and no feature.
        fresh = known.get("graph") == graph.VERSION and known["origin"].get("stages")
        if fresh and known["sha256"] == file_hash(stored):
            for needed in (stored, record):
                cached.used(needed)
            return Extractor(onnx.load(stored), known["origin"], known["parity"], key)
    from shared.export import parity  # after the look into the cache: it brings torch
    from shared.training import backbones

    net, origin = backbones.create(recipe)
    model, compared = parity.export(net, images_for_parity)
    atomic.write(stored, model.SerializeToString())
    known = {"sha256": file_hash(stored), "origin": asdict(origin), "parity": asdict(compared)}
    known["graph"] = graph.VERSION
    atomic.write(record, json.dumps(known, indent=2))
    return Extractor(model, known["origin"], known["parity"], key)


def _key(recipe: Recipe) -> str:
    from importlib.metadata import version

    name = recipe.backbone or DEFAULT_BACKBONE
    parts = {
        "version": VERSION,
        "backbone": name,
        "weights": _weights(name, recipe),
        "arguments": dict(recipe.backbone_args),
        "input": [recipe.image_size, recipe.mean, recipe.std, recipe.stages],
        "made by": [version("timm"), version("torch")],
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:24]


def _weights(name: str, recipe: Recipe) -> str:
    if recipe.weights == RANDOM:
        return f"random {recipe.seed}"
    if recipe.weights and not Path(recipe.weights).is_file():
        raise ConfigError(f"--weights {recipe.weights}: does not exist; give a safetensors file")
    if recipe.weights:
        return file_hash(Path(recipe.weights))
    return file_hash(EMBEDDED_WEIGHTS) if name == DEFAULT_BACKBONE else "hub"


class Store:
    """Features by image id in one SQLite file: a kill loses at most the last few seconds of work, never the file."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        try:
            self._create()
            cached.used(path)
        except sqlite3.DatabaseError:
            path.unlink()  # a cache that cannot be read is no loss: everything in it can be computed again
            self._create()

    def _create(self) -> None:
        with self._open() as connection:
            connection.execute("CREATE TABLE IF NOT EXISTS features (id TEXT PRIMARY KEY, vector BLOB NOT NULL)")

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        try:
            with closing(sqlite3.connect(self._path, timeout=60)) as connection:
                connection.execute("PRAGMA journal_mode=WAL")
                with connection:
                    yield connection
        except sqlite3.OperationalError as error:
            raise ConfigError(f"--cache {self._path}: {error}; free space there, or give another --cache") from error

    def read(self, ids: Sequence[str]) -> dict[str, NDArray[np.float32]]:
        """The known ones among ``ids``."""
        found = {}
        with self._open() as connection:
            for start in range(0, len(ids), 500):
                part = ids[start : start + 500]
                marks = ",".join("?" * len(part))
                for identity, blob in connection.execute(
                    f"SELECT id, vector FROM features WHERE id IN ({marks})", part
                ):
                    found[identity] = np.frombuffer(blob, np.float32)
        return found

    def write(self, vectors: dict[str, NDArray[np.float32]]) -> None:
        """Add vectors in one transaction."""
        with self._open() as connection:
            rows = [(identity, vector.tobytes()) for identity, vector in vectors.items()]
            connection.executemany("INSERT OR REPLACE INTO features VALUES (?, ?)", rows)


def extract(
    extractor: Extractor, manifest: Manifest, rows: Sequence[Row], *, cache: Path, threads: int, until: float
) -> tuple[dict[str, NDArray[np.float32]], tuple[Problem, ...]]:
    """Features of the rows' images, from the cache where they are known.

    Args:
        extractor: The backbone.
        manifest: Says where the files lie.
        rows: What is wanted, the most wanted first.
        cache: Folder of the feature cache.
        threads: Threads of onnxruntime, 0 for all cores.
        until: ``time.monotonic()`` at which to stop; what is not done by then is left out.

    Returns:
        ``(d,)`` float32 per image id, and what could not be decoded with its reason.
    """
    store = Store(cache / "features" / f"{extractor.key}.sqlite")
    wanted = {row.sample.id: row for row in rows}
    known = store.read(list(wanted))
    missing = [row for identity, row in wanted.items() if identity not in known]
    problems: list[Problem] = []
    if not missing:
        return known, ()
    fresh: dict[str, NDArray[np.float32]] = {}
    saved = time.monotonic()
    for row, answer in _computed(extractor, manifest, missing, threads=threads, until=until):
        if isinstance(answer, Problem):
            problems.append(answer)
            continue
        fresh[row.sample.id] = answer
        now = time.monotonic()
        if now - saved > 2.0:
            store.write(fresh)
            known |= fresh
            fresh, saved = {}, now
    store.write(fresh)
    return known | fresh, tuple(problems)


def compute(
    extractor: Extractor, manifest: Manifest, rows: Sequence[Row], *, threads: int, until: float
) -> tuple[dict[str, NDArray[np.float32]], tuple[Problem, ...]]:
    """The same without a cache, for a backbone that nobody will ask again."""
    known, problems = {}, []
    for row, answer in _computed(extractor, manifest, rows, threads=threads, until=until):
        if isinstance(answer, Problem):
            problems.append(answer)
        else:
            known[row.sample.id] = answer
    return known, tuple(problems)


def _computed(
    extractor: Extractor, manifest: Manifest, rows: Sequence[Row], *, threads: int, until: float
) -> Iterator[tuple[Row, NDArray[np.float32] | Problem]]:
    session = runtime.session(extractor.model.SerializeToString(), threads=threads)
    for row in tqdm(rows, desc="features", unit="image", disable=None, leave=False):
        if time.monotonic() > until:
            return
        try:
            image = images.read(manifest.file(row.sample), window=row.sample.window)
        except DataError as error:
            yield row, Problem(row.sample.path, str(error))
            continue
        yield row, session.run(["features"], {"image": image[None]})[0][0]
