"""The models that a server has: loaded, reloaded and unloaded while it answers, none of them without its self-test."""

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from shared import cores
from shared.data import blank
from shared.errors import BundleError, ConfigError, LoupeError
from shared.inference import Runtime, registry
from shared.predict import Blind, uncertified
from shared.records import Decision
from shared.serving.batching import Batcher, Limits
from shared.serving.telemetry import Telemetry
from shared.vertical import Case

Decide = Callable[[Case], Decision]


class UnknownModel(LoupeError):
    """The server has no model of this name or version."""


@dataclass(frozen=True)
class Judge:
    """What a vertical adds to the numbers of a model.

    Attributes:
        decide: Case to Decision; None where a single picture is not enough for one.
        notice: What must stand with every answer, e.g. that it is no diagnosis.
        blind: Why a picture shows nothing and gets no verdict but NOT EXAMINED, None where it shows something.
    """

    decide: Decide | None = None
    notice: str = ""
    blind: Blind = blank.why


@dataclass(frozen=True)
class Served:
    """One version of one model, answering.

    Attributes:
        name: The bundle's name without its ending.
        version: First 12 digits of the bundle's hash.
        runtime: Checked and self-tested.
        batcher: The queue before it.
        judge: What its vertical adds.
    """

    name: str
    version: str
    runtime: Runtime
    batcher: Batcher
    judge: Judge

    @cached_property
    def stated(self) -> dict[str, bool | int | float | str]:
        """What stands with every answer: which bundle, what it certifies, the gate it passed, and what it is not."""
        card = self.runtime.bundle.card
        certificate = card["certificate"]
        stated: dict[str, bool | int | float | str] = {
            "bundle_hash": self.runtime.bundle.hash,
            "vertical": self.runtime.bundle.vertical,
            "gate": str(card.get("gate", "")),
            "labels": json.dumps(list(self.runtime.labels)),
            "certified": certificate is not None,
            "notice": self.judge.notice,
        }
        if certificate is not None:
            stated |= {
                "certificate": str(certificate["sentence"]),
                "threshold": float(certificate["threshold"]),
                "certified_recall": float(certificate["certified_recall"]),
            }
        return stated

    @cached_property
    def uncertified(self) -> tuple[str, ...]:
        """Labels that are in every prediction set for want of independent groups."""
        return uncertified(self.runtime.bundle)


@dataclass(frozen=True)
class Entry:
    """One line of the index.

    Attributes:
        name: Of the model.
        version: What answers now, empty where nothing does.
        state: ``READY``, ``LOADING`` or ``UNAVAILABLE``.
        reason: Why not, or why the last reload was refused.
    """

    name: str
    version: str
    state: str
    reason: str


class Repository:
    """Bundles by name. Belongs to one event loop."""

    def __init__(
        self, paths: Sequence[Path], judge: Callable[[str], Judge], limits: Limits, telemetry: Telemetry, threads: int
    ) -> None:
        self._paths = names(paths)
        self._judge, self._limits, self._telemetry = judge, limits, telemetry
        self._threads = threads or cores.available()
        self._served: dict[str, Served] = {}
        self._reasons: dict[str, str] = {}
        self._loading: dict[str, asyncio.Lock] = {name: asyncio.Lock() for name in self._paths}
        self._unloaded: set[str] = set()
        self._draining: set[asyncio.Task[None]] = set()

    @property
    def ready(self) -> bool:
        """Whether every model that is wanted answers."""
        return all(name in self._served for name in self._paths if name not in self._unloaded)

    def get(self, name: str, version: str = "") -> Served:
        """The model that answers now.

        Raises:
            UnknownModel: None of this name or version does.
        """
        served = self._served.get(name)
        if served is None:
            known = ", ".join(sorted(self._served)) or "none"
            raise UnknownModel(f"model {name!r} is not served; ready are: {known}")
        if version not in ("", served.version):
            raise UnknownModel(f"model {name!r} has no version {version!r}; it answers with {served.version}")
        return served

    def index(self) -> list[Entry]:
        """Every model by name."""
        return [self._entry(name) for name in sorted(self._paths)]

    def _entry(self, name: str) -> Entry:
        served, reason = self._served.get(name), self._reasons.get(name, "")
        if served is not None:
            return Entry(name, served.version, "READY", reason)
        if self._loading[name].locked():
            return Entry(name, "", "LOADING", "")
        return Entry(name, "", "UNAVAILABLE", reason or "unloaded")

    async def load(self, name: str) -> Served:
        """Read a bundle from its folder again; the version before answers until this one has passed its self-test.

        Raises:
            UnknownModel: The server was not given this bundle.
            BundleError: It is damaged, or fails its self-test; what answered before goes on answering.
        """
        path = self._path(name)
        async with self._loading[name]:
            try:
                runtime, narrow = await asyncio.to_thread(_opened, path, self._threads)
                judge = await asyncio.to_thread(self._judge, runtime.bundle.vertical)
            except LoupeError as error:
                self._reasons[name] = f"not loaded: {error}"
                raise
            ran = self._telemetry.ran(name)
            batcher = Batcher(runtime, self._limits, narrow=narrow, runs=self._threads, ran=ran)
            made = Served(name, runtime.bundle.hash[:12], runtime, batcher, judge)
            before, self._served[name] = self._served.get(name), made
            self._telemetry.watch(name, lambda: batcher.waiting)
            self._reasons.pop(name, None)
            self._unloaded.discard(name)
            self._drain(before)
            return made

    async def unload(self, name: str) -> None:
        """Stop answering for a model, after what waits is answered.

        Raises:
            UnknownModel: The server was not given this bundle.
        """
        self._path(name)
        async with self._loading[name]:
            self._unloaded.add(name)
            self._drain(self._served.pop(name, None))

    async def close(self) -> None:
        """Answer all that waits, for every model."""
        for name in list(self._served):
            self._drain(self._served.pop(name))
        await asyncio.gather(*self._draining)

    def _drain(self, served: Served | None) -> None:
        if served is not None:
            task = asyncio.create_task(served.batcher.close())
            self._draining.add(task)
            task.add_done_callback(self._draining.discard)

    def _path(self, name: str) -> Path:
        if name not in self._paths:
            known = ", ".join(sorted(self._paths))
            raise UnknownModel(f"model {name!r} was not given to this server; it has: {known}")
        return self._paths[name]


def _opened(path: Path, threads: int) -> tuple[Runtime, Runtime]:
    """A model that uses all its threads at once, and the same one for many runs at once with one thread each."""
    path = registry.resolve(path)  # once: a registry may move on while its model is read
    wide = Runtime.open(path, threads=threads)
    return wide, wide if threads == 1 else Runtime.open(path, threads=1)


def names(paths: Sequence[Path]) -> Mapping[str, Path]:
    """Model names of bundles and registries: the folder's name without ``.bundle``.

    Raises:
        ConfigError: None is given, or two have one name.
    """
    if not paths:
        raise ConfigError("no bundle to serve; give one or more folders that loupe build made")
    found: dict[str, Path] = {}
    for path in paths:
        if not path.is_dir():
            raise BundleError(f"{path}: is not a bundle; give a folder that loupe build made")
        name = path.resolve().name.removesuffix(".bundle")
        if name in found:
            raise ConfigError(f"{path} and {found[name]}: both would be served as {name!r}; rename one of them")
        found[name] = path
    return found
