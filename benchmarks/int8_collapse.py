"""A network with squeeze-excite that collapses in whole numbers, and what each rung of the ladder gives back.

    python benchmarks/int8_collapse.py PHOTOGRAPHS [--set industrial/neu_surface] [--louder 300] [--cache FOLDER]

The network is mobilenetv3_small_100 from random weights under a closed-form head. It is rounded once as it is and once
with one channel behind its first squeeze-excite made louder, and the weights that read it smaller by as much: the same
function in float32, made up for this purpose, but of the kind that folding batch normalisation into convolutions
leaves behind (Nagel et al. 2019, section 4.1). Each is rounded as a first attempt would, every operator with ranges
from smallest to largest value, and by default; each row is one rung on test images, which chose nothing. Prints
Markdown.
"""

import argparse
import tempfile
from pathlib import Path

import timm
import torch
from safetensors.torch import save_file

from shared.build import build
from shared.compression import judging, parent, quantization
from shared.compression.parent import Parent
from shared.compression.recipe import Compression, Quantization
from shared.data import sources
from shared.recipe import Recipe
from shared.training.head import balanced_accuracy

BACKBONE = "mobilenetv3_small_100"
FIRST_ATTEMPT = Quantization(calibration="minmax", everything=True, reduce_range=False, recovery=0)
LADDERS = {"min-max": FIRST_ATTEMPT, "default": Quantization(recovery=0)}


def rungs(own: Parent, recipe: Compression) -> tuple[list[str], str]:
    """A row per rung up to the first that keeps the limits, and what became of it."""
    rows = []
    test = own.parts["test"]
    for made in quantization.rungs(own, recipe):
        gate = judging.judged(own, made, recipe.allowed)
        said = [c.probabilities(own.of(c.known)["test"]).argmax(1) for c in (own.candidate, made)]
        flips = int((said[0] != said[1]).sum())
        rows.append(
            f"| {made.name} | {100 * balanced_accuracy(said[1], test.y):.1f} | {flips} of {len(test.y)} | {gate} |"
        )
        if gate.passed:
            return rows, f"accepted: {made.name}"
    return rows, "refused: no rung keeps the limits, nothing would be written"


def with_loud_channel(louder: float, out: Path) -> None:
    """Weights in which the first channel behind the first block is louder, and is read as much more softly."""
    torch.manual_seed(0)
    state = timm.create_model(BACKBONE).state_dict()
    for name in ("weight", "bias"):
        state[f"blocks.0.0.bn2.{name}"][0] *= louder
    state["blocks.1.0.conv_pw.weight"][:, 0] /= louder
    save_file({name: value.contiguous() for name, value in state.items()}, out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photographs", type=Path)
    parser.add_argument("--set", dest="name", default="industrial/neu_surface")
    parser.add_argument("--louder", type=float, default=300.0)
    parser.add_argument("--cache", type=Path)
    options = parser.parse_args()
    where = options.photographs / options.name
    manifest, _ = sources.read(where)
    print("| channel, ladder: rung | balanced accuracy % | answers flipped | limits on validation |")
    print("| --- | --- | --- | --- |")
    ends = []
    with tempfile.TemporaryDirectory() as folder:
        for louder in (1.0, options.louder):
            weights, bundle = Path(folder) / f"{louder:g}.safetensors", Path(folder) / f"{louder:g}.bundle"
            cache = options.cache or Path(folder) / "cache"
            with_loud_channel(louder, weights)
            recipe = Recipe(backbone=BACKBONE, weights=str(weights), search=False, finetune=False)
            build(where, bundle, recipe=recipe, budget_seconds=600, cache=cache)
            own = parent.opened(bundle, manifest, cache=cache, budget_seconds=600, threads=0, say=print)
            test = own.parts["test"]
            score = balanced_accuracy(own.candidate.probabilities(test).argmax(1), test.y)
            print(f"| {louder:g}x: float32 | {100 * score:.1f} | | |", flush=True)
            for name, settings in LADDERS.items():
                rows, end = rungs(own, Compression(quantize=settings))
                print("\n".join(row.replace("| ", f"| {louder:g}x, {name}: ", 1) for row in rows), flush=True)
                ends.append(f"{louder:g}x, {name}: {end}")
    print("\n" + "\n\n".join(ends))


if __name__ == "__main__":
    main()
