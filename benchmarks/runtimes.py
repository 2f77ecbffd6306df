"""The same photographs through every runtime that a bundle is exported to: how far the answers are from the bundle's.

    python benchmarks/runtimes.py BUNDLE... --images PHOTOGRAPHS/SET/images [--most 200] [--to onnx openvino ...]

Each row is a parity certificate of ``loupe export``, by the target's own runtime on this machine, with the limits set
aside so that the differences of a model that would be refused are seen too. "onnx" is onnxruntime without any fusion,
as a runtime would compute that follows the standard node by node. Prints Markdown.
"""

import argparse
import tempfile
from pathlib import Path

from shared.errors import LoupeError
from shared.export.exporting import TARGETS, export

OPEN = ("probability=1e9", "apart=1", "flips=1", "golden_flips=1000")


def row(bundle: Path, target: str, source: Path, most: int) -> str:
    with tempfile.TemporaryDirectory() as folder:
        try:
            facts = export(bundle, target, Path(folder) / "out", source=source, most=most, overrides=OPEN)
        except LoupeError as error:
            return f"| {bundle.name} | {target} | not written: {error} | | | | | | |"
    real, golden = facts["images"], facts["golden"]
    kind = "int8" if facts["int8"] else "float"
    spread = real["probability"]
    flips = ", ".join(real["flips"][:3]) + (" ..." if len(real["flips"]) > 3 else "")
    return (
        f"| {bundle.name} ({kind}) | {target} | {facts['runtime']} | {facts['size_bytes'] / 1e6:.2f} | "
        f"{spread['largest']:.1e} | {spread['median']:.1e} | {len(real['flips'])} of {real['n']} {flips} | "
        f"{len(real['crossings'])} | {len(golden['flips'])} of {golden['n']} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundles", type=Path, nargs="+")
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--most", type=int, default=200)
    parser.add_argument("--to", nargs="+", choices=list(TARGETS), default=list(TARGETS))
    options = parser.parse_args()
    print("| bundle | to | computed by | MB | largest difference | median | other labels | ", end="")
    print("other side of the threshold | golden |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for bundle in options.bundles:
        for target in options.to:
            print(row(bundle, target, options.images, options.most), flush=True)


if __name__ == "__main__":
    main()
