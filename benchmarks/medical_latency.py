"""How long one picture takes, from the file to the urgency that it suggests, and on to the map laid over it.

    python benchmarks/medical_latency.py DATA BUNDLE [--pictures 500] [--seed 0]

DATA holds ``medical/ham10000``, BUNDLE is built on it:
``loupe build DATA/medical/ham10000/labels.csv --vertical medical --budget 2m --set finetune=false -o BUNDLE``. Its
photographs are written as plain JPEG and as Dermoscopic objects (JPEG, JPEG 2000, RLE); a part of them enlarged to 2
and to 12 megapixels, with the grain of a sensor, since none is that large there. Pictures come one at a time, as from a
camera, and take the way of ``loupe triage``: decoded, through the gate (quality, skin, burned-in text), through the
model with its prediction set, decided. The map is laid over the picture as a screen shows it, longer side 1600 pixels
or what was decoded of JPEG 2000, which is read at a smaller resolution. Not in the time: starting up.

Wall-clock says what somebody waits, on this machine as busy as it was; CPU seconds, of all threads, say what it costs,
about what somebody waits on a machine of its own. Prints Markdown.
"""

import argparse
import os
import platform
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from shared.data import images
from shared.inference.explanation import contrast, overlay
from shared.inference.runtime import Runtime
from verticals.medical import at_once
from verticals.medical.dicom import dicom_encode, dicom_write
from verticals.medical.dicom.dicom_write import Exposure

Picture = NDArray[np.uint8]
FORMS = {
    "plain JPEG": None,
    "DICOM, JPEG": dicom_encode.JPEG_BASELINE,
    "DICOM, JPEG 2000": dicom_encode.JPEG_2000,
    "DICOM, RLE": dicom_encode.RLE,
}
SIZES = {"as it is": (1.0, None), "2 megapixels": (0.24, (1600, 1200)), "12 megapixels": (0.08, (4000, 3000))}
"""Share of the pictures, and width and height; the first takes what the others leave."""
GRAIN = 3.0
"""Deviation of the noise that an enlarged picture gets, in grey levels: it costs the coders and the text gate time."""
SCREEN_PX = 1600
AIM_MS, AIM_OVERLAY_MS = 400, 1000


@dataclass(frozen=True)
class Timed:
    """Milliseconds of one picture: CPU by step, then up to the tier and up to the overlay, wall-clock and CPU."""

    size: str
    form: str
    steps: dict[str, float]
    tier: float
    shown: float
    tier_cpu: float
    shown_cpu: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--pictures", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng = np.random.default_rng(options.seed)
    sources = sorted((options.data / "medical" / "ham10000" / "images").glob("*.jpg"))
    chosen = [sources[i] for i in rng.permutation(len(sources))[: options.pictures]]
    runtime = Runtime.open(options.bundle)
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        timed = []
        # Each is written just before it is looked at, so that its bytes come from memory, as from a network.
        for path, size, form in tqdm(written(chosen, Path(folder), rng), total=len(chosen), disable=None):
            one = look(path, size, form, runtime)
            path.unlink()
            timed.append(one)
    first, rest = timed[: len(FORMS)], timed[len(FORMS) :]
    tell_machine(options, runtime, load, len(first))
    tell(rest)


def written(chosen: list[Path], folder: Path, rng: np.random.Generator) -> Iterator[tuple[Path, str, str]]:
    """Each photograph in a file of its own, the forms in turn, the sizes by chance."""
    shares = [share for share, _ in SIZES.values()]
    shares[0] -= sum(shares[1:])
    names = rng.choice(list(SIZES), len(chosen), p=shares)
    for number, (source, size) in enumerate(zip(chosen, names, strict=True)):
        form = list(FORMS)[number % len(FORMS)]
        picture, wanted = images.read(source), SIZES[size][1]
        if wanted:
            large = cv2.resize(picture, wanted, interpolation=cv2.INTER_CUBIC)
            noise = rng.standard_normal(large.shape, np.float32) * GRAIN
            picture = (large + noise).clip(0, 255).astype(np.uint8)
        path = folder / f"{number}.{'jpg' if FORMS[form] is None else 'dcm'}"
        if FORMS[form] is None:
            cv2.imwrite(str(path), picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 92])
        else:
            about = Exposure(patient_id="BENCH", acquired=datetime(2024, 1, 1, 12))
            dicom_write.save(dicom_write.dermoscopic(picture, about, transfer_syntax=FORMS[form]), path)
        yield path, str(size), form


def look(path: Path, size: str, form: str, runtime: Runtime) -> Timed:
    """The way of one picture, with the time that each step has taken."""
    marks = [("", time.perf_counter(), time.process_time())]

    def mark(step: str) -> None:
        marks.append((step, time.perf_counter(), time.process_time()))

    found = at_once.look(path, runtime, maps=True, done=mark)
    assert found.decision.reasons, "every decision says why"
    (seen,), (picture,) = found.seen, found.pictures
    factor = min(1.0, SCREEN_PX / max(picture.shape))
    shown = cv2.resize(picture, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA) if factor < 1 else picture
    assert seen.class_map is not None
    likeliest = int(np.argmax(list(seen.probabilities.values())))
    overlay(np.asarray(shown, np.uint8), contrast(seen.class_map, likeliest))
    mark("overlay")
    steps = {name: 1e3 * (cpu - before[2]) for before, (name, _, cpu) in pairwise(marks)}
    (_, start, start_cpu), (_, tier, tier_cpu), (_, end, end_cpu) = marks[0], marks[-2], marks[-1]
    spans = (tier - start, end - start, tier_cpu - start_cpu, end_cpu - start_cpu)
    return Timed(size, form, steps, *(1e3 * span for span in spans))


def tell_machine(options: argparse.Namespace, runtime: Runtime, load: float, warmed: int) -> None:
    import onnxruntime

    print(f"- machine: {os.cpu_count()} CPUs, {processor()}, load average {load:.1f} before the start")
    print(f"- Python {platform.python_version()}, onnxruntime {onnxruntime.__version__}, OpenCV {cv2.__version__}")
    print(f"- bundle: {runtime.bundle.path.name}, {len(runtime.labels)} labels")
    print(f"- {options.pictures} pictures, seed {options.seed}; the first {warmed}, which load libraries, left out\n")


def processor() -> str:
    found = Path("/proc/cpuinfo")
    names = (
        [line.split(":")[1] for line in found.read_text().splitlines() if "model name" in line]
        if found.exists()
        else []
    )
    return names[0].strip() if names else platform.processor() or platform.machine()


def tell(timed: list[Timed]) -> None:
    print("| pictures | n | to the tier, p50 / p95 ms | with overlay | CPU, to the tier | CPU, with overlay |")
    print("| --- | --- | --- | --- | --- | --- |")
    tell_row("all", timed)
    for size in SIZES:
        tell_row(size, [t for t in timed if t.size == size])
    for size in SIZES:
        for form in FORMS:
            tell_row(f"{size}, {form}", [t for t in timed if (t.size, t.form) == (size, form)])
    print("\n| size | " + " | ".join(timed[0].steps) + " (CPU ms, p50) |\n| --- |" + " --- |" * len(timed[0].steps))
    for size in SIZES:
        if own := [t.steps for t in timed if t.size == size]:
            print(f"| {size} | " + " | ".join(f"{np.median([s[k] for s in own]):.0f}" for k in own[0]) + " |")
    tier, shown = (float(np.percentile([getattr(t, name) for t in timed], 95)) for name in ("tier", "shown"))
    print(f"\np95 {tier:.0f} ms to the tier (aim {AIM_MS}), {shown:.0f} ms with overlay (aim {AIM_OVERLAY_MS})")
    cpu = [float(np.percentile([getattr(t, name) for t in timed], 95)) for name in ("tier_cpu", "shown_cpu")]
    print(f"p95 of CPU {cpu[0]:.0f} ms to the tier, {cpu[1]:.0f} ms with overlay")


def tell_row(name: str, timed: list[Timed]) -> None:
    if not timed:
        return
    columns = ("tier", "shown", "tier_cpu", "shown_cpu")
    told = [np.percentile([getattr(t, column) for t in timed], (50, 95)) for column in columns]
    print(f"| {name} | {len(timed)} | " + " | ".join(f"{p50:.0f} / {p95:.0f}" for p50, p95 in told) + " |")


if __name__ == "__main__":
    main()
