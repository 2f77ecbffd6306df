"""DICOM files of every photometric interpretation and transfer syntax: our pixels against those of dcmtk or gdcm.

python benchmarks/dicom_colours.py PHOTOGRAPH.jpg [FOLDER_OF_DICOM_FILES ...]

Besides the folders, the files that come with pydicom are read, and variants of the photograph that dcmtk makes. What
nobody else decodes here is listed as such and does not count.
"""

import argparse
import logging
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
from PIL import Image

from shared.errors import LoupeError
from verticals.medical.dicom import dicom_decode
from verticals.medical.dicom.colour import Picture

LOSSY = frozenset(f"1.2.840.10008.1.2.4.{end}" for end in ("50", "51", "55", "81", "91", "203"))
RLE = "1.2.840.10008.1.2.5"
JPEG_LS = frozenset({"1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.81"})
LOSSLESS, LOSSY_OR_YBR, WINDOWED = 0, 2, 1
"""Largest difference in grey levels. Native YCbCr and windows are formulas that each program rounds in its own way."""
BY_DCMTK = frozenset({"1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.2"}) | {
    f"1.2.840.10008.1.2.{end}" for end in ("5", "4.50", "4.51", "4.55", "4.57", "4.70", "4.80", "4.81")
}
BROKEN = ("emri_small_jpeg_2k_lossless_too_short", "MR_truncated", "badVR", "JPEG2000-embedded-sequence-delimiter")


@dataclass(frozen=True)
class Cell:
    """One file compared."""

    name: str
    photometric: str
    syntax: str
    bits: str
    frames: int
    peer: str
    difference: int
    allowed: int

    @property
    def holds(self) -> bool:
        """Whether the two decoders agree as far as they must."""
        return self.difference <= self.allowed


def call(*words: str | Path) -> None:
    done = subprocess.run([str(w) for w in words], capture_output=True, text=True)
    if done.returncode:
        raise OSError(f"{words[0]}: {done.stderr.strip().splitlines()[-1:]}")


def by_dcmtk(path: Path, frames: int, syntax: str) -> list[Picture]:
    """As dcmj2pnm shows each frame; YCbCr of lossy JPEG by its markers, by the header where there are none."""
    with tempfile.TemporaryDirectory() as folder:
        stem = Path(folder) / "frame"
        header = pydicom.dcmread(path, force=True)
        native = Path(folder) / "native.dcm"
        if syntax in JPEG_LS:
            call("dcmdjpls", path, native)
        elif syntax not in BY_DCMTK:
            call("gdcmconv", "--raw", path, native)
        shown_path = native if native.exists() else path
        shown = ["+Wl", "1"] if "VOILUTSequence" in header else ["+Wi", "1"] if "WindowCenter" in header else []
        marked = syntax in LOSSY and any(m in header.PixelData[:2000] for m in (b"JFIF\0", b"Adobe\0"))
        call("dcmj2pnm", "+opb", "+Fa", "-O", *(["+cgl"] if marked else []), *shown, shown_path, stem)
        native.unlink(missing_ok=True)
        found = sorted(Path(folder).iterdir(), key=lambda p: int(p.suffixes[-2][1:]) if p.suffixes[1:] else 0)
        pictures = [np.array(Image.open(p).convert("RGB"), np.uint8) for p in found]
    assert len(pictures) == frames, f"dcmj2pnm wrote {len(pictures)} frames"
    return pictures


def by_gdcm(path: Path, frames: int, dataset: pydicom.Dataset) -> list[Picture]:
    import gdcm

    reader = gdcm.ImageReader()
    with tempfile.TemporaryDirectory() as folder:
        native = Path(folder) / "native.dcm"
        if dataset.file_meta.TransferSyntaxUID == RLE:  # gdcm takes the bytes of deep samples in the wrong order
            call("dcmdrle", path, native)
        reader.SetFileName(str(native if native.exists() else path))
        if not reader.Read():
            raise OSError("gdcm: not read")
    image = reader.GetImage()
    raw = image.GetBuffer().encode("utf-8", "surrogateescape")
    samples, allocated = image.GetPixelFormat().GetSamplesPerPixel(), image.GetPixelFormat().GetBitsAllocated()
    values = np.frombuffer(raw, f"u{allocated // 8}")
    if samples == 3 and image.GetPlanarConfiguration():
        values = values.reshape(frames, 3, dataset.Rows, dataset.Columns).transpose(0, 2, 3, 1)
    values = values.reshape(frames, dataset.Rows, dataset.Columns, samples).astype(np.float64)
    if samples == 1:
        values = np.repeat(values, 3, axis=-1)
    return list(np.rint(values * (255 / (2.0 ** int(dataset.BitsStored) - 1))).astype(np.uint8))


def compare(path: Path, name: str) -> Cell | None:
    """Both decoders on one file; None where it has no pixels or the peer does not read it."""
    dataset = pydicom.dcmread(path, force=True)
    needed = all(name in dataset for name in ("PixelData", "SamplesPerPixel", "Rows"))
    if not needed or "TransferSyntaxUID" not in dataset.file_meta or dataset.BitsAllocated == 1:
        return None
    deep = dataset.BitsAllocated == 32 or dataset.PixelRepresentation or "RescaleSlope" in dataset
    if dataset.SamplesPerPixel == 1 and deep:
        return None  # Hounsfield numbers, doses and the like are no photographs; every viewer windows them its own way
    syntax, frames = dataset.file_meta.TransferSyntaxUID, int(dataset.get("NumberOfFrames") or 1)
    photometric, allocated, stored = dataset.PhotometricInterpretation, dataset.BitsAllocated, dataset.BitsStored
    ours = list(dicom_decode.decode(dataset, lambda _: None))
    grey, wide = photometric.startswith("MONOCHROME"), allocated > 8 and dataset.SamplesPerPixel == 3
    peer = "dcmtk" if (syntax in BY_DCMTK | JPEG_LS and not wide) or grey else "gdcm"
    try:
        theirs = by_dcmtk(path, frames, syntax) if peer == "dcmtk" else by_gdcm(path, frames, dataset)
    except OSError:
        return None
    difference = max(int(np.abs(a.astype(int) - b).max()) for a, b in zip(ours, theirs, strict=True))
    allowed = LOSSY_OR_YBR if syntax in LOSSY or photometric.startswith("YBR_FULL") else LOSSLESS
    shown = "WindowCenter" in dataset or photometric == "MONOCHROME1" or stored > 8
    if grey and allowed == LOSSLESS and shown:
        allowed = WINDOWED
    return Cell(name, photometric, syntax.name, f"{stored}/{allocated}", frames, peer, difference, allowed)


def variants(photograph: Path, folder: Path) -> Iterator[Path]:
    """The photograph as dcmtk writes it, in as many forms as it knows."""
    base = folder / "img2dcm-vlp.dcm"
    call("img2dcm", "-vlp", "-k", "PatientID=1", photograph, base)
    yield base
    raw = folder / "raw.dcm"
    call("dcmdjpeg", base, raw)
    yield raw
    forms: dict[str, tuple[str, ...]] = {
        "implicit": ("dcmconv", "+ti"),
        "big-endian": ("dcmconv", "+tb"),
        "deflated": ("dcmconv", "+td"),
        "rle": ("dcmcrle",),
        **{f"jls-{k}": ("dcmcjpls", f"+{k}") for k in ("il", "is", "in")},
        **{f"jls-near-{k}": ("dcmcjpls", "+en", f"+{k}") for k in ("il", "is", "in")},
        **{f"lossless-p{p}": ("dcmcjpeg", "+el", "+sv", str(p)) for p in (1, 4, 7)},
        "lossless-sv1": ("dcmcjpeg", "+e1"),
        **{f"baseline-{k}": ("dcmcjpeg", "+eb", f"+{k}") for k in ("s4", "s2", "cr")},
        "baseline-np": ("dcmcjpeg", "+eb", "+np"),
        "extended": ("dcmcjpeg", "+ee", "+be"),
        "progressive": ("dcmcjpeg", "+ep", "+be"),
        "grey": ("dcmcjpeg", "+e1", "+pl", "+cm"),
        "palette-8": ("dcmquant",),
        "palette-8-word": ("dcmquant", "+pe"),
        "palette-16": ("dcmquant", "+pc", "1000"),
    }
    for name, (program, *options) in forms.items():
        path = folder / f"{name}.dcm"
        call(program, *options, raw, path)
        yield path
    yield from _second_hand(folder)


def _second_hand(folder: Path) -> Iterator[Path]:
    """Variants of variants: by plane, grey with 0 as white, palettes compressed, two frames."""
    steps = {
        "planar": ("dcmdjpls", "+pl", "jls-il"),
        "grey-raw": ("dcmdjpeg", "grey"),
        "grey-rle": ("dcmcrle", "grey-raw"),
        "grey-jls": ("dcmcjpls", "grey-raw"),
        "palette-rle": ("dcmcrle", "palette-8"),
        "palette-16-rle": ("dcmcrle", "palette-16"),
        "palette-big-endian": ("dcmconv", "+tb", "palette-8-word"),
        "palette-16-big-endian": ("dcmconv", "+tb", "palette-16"),
    }
    for name, (program, *options, source) in steps.items():
        call(program, *options, folder / f"{source}.dcm", folder / f"{name}.dcm")
        yield folder / f"{name}.dcm"
    negative = folder / "monochrome1.dcm"
    negative.write_bytes((folder / "grey-raw.dcm").read_bytes())
    call("dcmodify", "-nb", "-m", "PhotometricInterpretation=MONOCHROME1", negative)
    yield negative
    for name, program in (("two-frames", None), ("two-frames-rle", "dcmcrle"), ("two-frames-jls", "dcmcjpls")):
        path = folder / f"{name}.dcm"
        if program is None:
            dataset = pydicom.dcmread(folder / "raw.dcm")
            pixels = dataset.PixelData
            dataset.NumberOfFrames, dataset.PixelData = 2, pixels + bytes(255 - b for b in pixels)
            dataset.save_as(path)
        else:
            call(program, folder / "two-frames.dcm", path)
        yield path


def files(folders: list[Path]) -> Iterator[Path]:
    for folder in (Path(pydicom.__file__).parent / "data" / "test_files", *folders):
        yield from (p for p in sorted(folder.rglob("*.dcm")) if p.stem not in BROKEN and "dicomdir" not in str(p))


def table(paths: Iterator[Path]) -> tuple[list[Cell], list[str]]:
    cells, refused = [], []
    for path in paths:
        try:
            cell = compare(path, path.stem)
        except LoupeError as error:
            refused.append(f"{path.stem}: {error}")
            continue
        if cell is not None:
            cells.append(cell)
    return cells, refused


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photograph", type=Path)
    parser.add_argument("folders", type=Path, nargs="*")
    options = parser.parse_args()
    logging.getLogger("pydicom").disabled = True
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        made = list(variants(options.photograph, Path(folder)))
        cells, refused = table(iter([*made, *files(options.folders)]))
    print("| file | photometric | transfer syntax | bits | frames | peer | largest difference | allowed |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for c in cells:
        verdict = f"{c.difference}" if c.holds else f"**{c.difference}**"
        print(
            f"| {c.name} | {c.photometric} | {c.syntax} | {c.bits} | {c.frames} | {c.peer} | {verdict} | {c.allowed} |"
        )
    kinds = {(c.photometric, c.syntax, c.bits, c.frames > 1) for c in cells}
    within = sum(c.holds for c in cells)
    print(f"\n{within} of {len(cells)} files within what is allowed; {len(kinds)} different cells.")
    for line in refused:
        print(f"refused: {line}")
    return 0 if within == len(cells) else 1


if __name__ == "__main__":
    sys.exit(main())
