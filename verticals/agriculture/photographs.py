"""Frames of a drone's camera and photographs of leaves in, copies that a browser shows and Samples out."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from shared.data import images
from shared.data.cut_frames import FRAMES
from shared.data.manifest import read_table
from shared.data.tiles import grid
from shared.errors import DataError, LoupeError, Problem
from shared.records import Finding, Provenance, Sample
from verticals.agriculture.harvest import Harvest
from verticals.agriculture.raster import footprints
from verticals.agriculture.raster.frames import ENDINGS, Frame, read_frame
from verticals.agriculture.taxonomy import terms

TABLE = "labels.csv"
_GROUPS = ("group", "plant", "leaf", "plot", "field")
"""Columns that say what must not part between splits, the first that is there."""


@dataclass(frozen=True)
class Said:
    """What a table or the folder says about a photograph.

    Attributes:
        label: Code of the taxonomy, empty where nobody said.
        group: What it must stay together with in a split, empty where it stands alone.
    """

    label: str = ""
    group: str = ""


def read_labels(folder: Path, remarks: list[Problem]) -> Mapping[str, Said]:
    """``labels.csv`` of a folder: ``path`` (relative, with ``/``), ``label``, and a group; empty where there is none.

    Args:
        folder: Where the paths start.
        remarks: Gets one for each line whose label is unknown; the photograph stays without a label.

    Raises:
        DataError: The table cannot be read.
    """
    if not (folder / TABLE).is_file():
        return {}
    said: dict[str, Said] = {}
    for line, record in enumerate(read_table(folder / TABLE).to_dict("records"), start=2):
        cells = {str(key): str(value).strip() for key, value in record.items()}
        entry = terms.find(cells.get("label", ""))
        if cells.get("label") and entry is None:
            remarks.append(Problem(f"{TABLE} line {line}", f"label {cells['label']!r} is unknown; nothing is claimed"))
        group = next((cells[name] for name in _GROUPS if cells.get(name)), "")
        said[cells["path"].removeprefix("./")] = Said(entry.code if entry else "", group)
    return said


def take(path: Path, name: str, harvest: Harvest, said: Said, *, tile: int, halo: int) -> None:
    """Add one picture: a frame that a drone took as tiles, anything else as one photograph.

    The file is copied as it is. All frames of one folder overlap, so they are one group.

    Args:
        path: JPEG, PNG or what else :mod:`shared.data.images` reads.
        name: Of the frame.
        harvest: What is added to.
        said: What is known about a photograph.
        tile: Side of a core in pixels, of a drone's frame.
        halo: Pixels around a core, likewise.

    Raises:
        DataError: It cannot be decoded, is a copy of another, or is a single band of a multispectral camera.
    """
    drone = _drone(path)
    if drone is not None and drone.band:
        raise DataError(
            f"{path}: is the band {drone.band} of a capture; bands are examined together as an orthomosaic: make one"
        )
    height, width = images.read(path).shape[:2]
    copy = harvest.folder / f"{name}{path.suffix.lower()}"
    copy.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(path, copy)
    content = harvest.admit(copy, name)
    sample = Sample(
        id=content[:16],
        path=f"{FRAMES}/{copy.relative_to(harvest.folder).as_posix()}",
        width=width,
        height=height,
        frame=name,
        group=said.group or name,
    )
    if drone is None:
        harvest.kinds["photographs"] += 1
        harvest.samples.append(sample)
    else:
        harvest.kinds["drone_frames"] += 1
        harvest.remarks += [Problem(name, text) for text in drone.remarks]
        harvest.samples += _tiles(sample, drone, harvest, tile=tile, halo=halo)
    if said.label:
        risk = float(terms.resolve(said.label).sought)
        harvest.truth.append(Finding(name, said.label, probability=1.0, risk=risk))
        if drone is None:
            harvest.labels[sample.id] = said.label


def _drone(path: Path) -> Frame | None:
    """What a drone's camera says about its frame; None for any other picture."""
    if path.suffix.lower() not in ENDINGS:
        return None
    try:
        frame = read_frame(path)
    except LoupeError:
        return None  # whether it is a picture at all is told by decoding it
    return frame if frame.height_m is not None or frame.gimbal is not None else None


def _tiles(sample: Sample, drone: Frame, harvest: Harvest, *, tile: int, halo: int) -> list[Sample]:
    """A drone's frame as overlapping windows of one file."""
    facts = _provenance(drone)
    try:
        side_mm = 1000 * footprints.nadir_gsd_m(drone)
    except DataError as error:
        harvest.remarks.append(Problem(sample.frame, f"{error}; lengths in it have no scale"))
        side_mm = None
    flight = f"flight {Path(sample.frame).parent.as_posix()}"
    windows: dict[str, Sample] = {}
    for cell in grid(sample.width, sample.height, tile=tile, halo=halo):
        window, core = cell.window, cell.core.shifted(-cell.window.x0, -cell.window.y0)
        identity = f"{sample.id}@{window.x0},{window.y0},{window.width},{window.height}"
        before = windows.get(identity)
        windows[identity] = replace(
            sample,
            id=identity,
            width=window.width,
            height=window.height,
            window=window,
            core=core if before is None or before.core is None else before.core.union(core),
            origin=(window.x0, window.y0),
            group=flight,
            mm_per_px=None if side_mm is None else (side_mm, side_mm),
            provenance=facts,
        )
    return list(windows.values())


def _provenance(drone: Frame) -> Provenance:
    known: dict[str, str | int | float] = {"camera": drone.camera, "captured_at": drone.taken}
    if drone.position is not None:
        known |= {"lat": round(drone.position[0], 8), "lon": round(drone.position[1], 8)}
    if drone.height_m is not None:
        known["height_m"] = drone.height_m
    if drone.gimbal is not None:
        known["gimbal_pitch"] = drone.gimbal.pitch
    return {key: value for key, value in known.items() if value != ""}
