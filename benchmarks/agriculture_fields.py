"""Whole drawn fields mapped by a bundle that has not seen them: areas, IoU, severity, seams, savings. SYNTHETIC.

    python benchmarks/agriculture_fields.py [--side 32] [--image-size 64] [--fields 6] [--unseen 3]

The bundle is that of ``agriculture_places.py``: tiles of some drawn fields, closed-form head. Unseen fields go the
whole way of ``loupe map`` with their boundary. Area error: hectares of a label on the map against the exact ones, per
cent of the field. Severity: share of the canopy that is diseased, map against truth, on squares of 2 m; R2 is
1 - SSE / SST, r2 the squared correlation, which forgives a wrong scale. Savings: treated area against broadcast at 95 %
of the truly diseased area, and the machine's ceiling on the same field. Prints Markdown; nothing in it is an accuracy.
"""

import argparse
import tempfile
from pathlib import Path

import agriculture_places as places
import numpy as np
import rasterio

from shared.build import build
from shared.recipe import Recipe
from verticals.agriculture.drawing import files
from verticals.agriculture.drawing.field import SimulatedField, draw
from verticals.agriculture.drawing.setting import Setting
from verticals.agriculture.mapping.field_map import FieldMap
from verticals.agriculture.spraying.grid import lay
from verticals.agriculture.spraying.gridding import onto
from verticals.agriculture.spraying.machine import profiles
from verticals.agriculture.spraying.map_layers import map_layers
from verticals.agriculture.spraying.savings import savings_curve
from verticals.agriculture.viewing import field_maps
from verticals.agriculture.viewing.targets import conditions

BLOCK_M = 2.0
GROUPS = {
    "potato early blight": ("potato_early_blight",),
    "potato late blight": ("potato_late_blight",),
    "weed": ("weed",),
    "healthy and soil": ("healthy", "bare_soil"),
}
"""A tile of a healthy row shows soil too and is called healthy, so that the two are told together."""


def on_cells(drawn: SimulatedField, field_map: FieldMap) -> dict[str, np.ndarray]:
    """Truth on the map's cells: the commonest class, the share of canopy that is diseased, canopy pixels."""
    grid = field_map.grid
    k = round(grid.gsd_m / drawn.setting.gsd_m)
    height, width = grid.height * k, grid.width * k

    def cells(values: np.ndarray, empty: int | bool) -> np.ndarray:
        padded = np.full((height, width), empty, values.dtype)
        padded[: values.shape[0], : values.shape[1]] = values[:height, :width]
        return padded.reshape(grid.height, k, grid.width, k)

    truth = cells(drawn.truth, 255)
    counts = np.stack([(truth == i).sum((1, 3)) for i in range(len(drawn.labels))])
    sick = [i for i, label in enumerate(drawn.labels) if "blight" in label]
    healthy = drawn.labels.index("healthy")
    diseased = counts[sick].sum(0)
    return {"class": counts.argmax(0), "inside": counts.sum(0) > k * k / 2, "diseased": diseased,
            "canopy": diseased + counts[healthy]}  # fmt: skip


def in_blocks(values: np.ndarray, side: int) -> np.ndarray:
    rows, columns = (n // side * side for n in values.shape)
    return values[:rows, :columns].reshape(rows // side, side, columns // side, side).sum((1, 3))


def severity(truth: dict[str, np.ndarray], field_map: FieldMap) -> tuple[np.ndarray, np.ndarray]:
    """Diseased share of the canopy on squares, per cent: true and mapped, where at least a quarter is canopy."""
    with rasterio.open(field_map.severity_path) as source:
        mapped = source.read(1)
    side = max(1, round(BLOCK_M / field_map.grid.gsd_m))
    known = np.isfinite(mapped) & truth["inside"]
    canopy = in_blocks(np.where(known, truth["canopy"], 0), side)
    true = in_blocks(np.where(known, truth["diseased"], 0), side)
    said = in_blocks(np.where(known, np.nan_to_num(mapped) * truth["canopy"], 0), side)
    use = canopy > 0.25 * canopy.max()
    return 100 * true[use] / canopy[use], said[use] / canopy[use]


def saved(drawn: SimulatedField, field_map: FieldMap) -> dict[str, tuple[float, float]]:
    """Per machine: per cent saved at 95 % of the truly diseased area, and the ceiling."""
    found = {}
    sick = np.isin(drawn.truth, [i for i, label in enumerate(drawn.labels) if "blight" in label])
    targets = [label for label in conditions(field_map) if "blight" in label]
    for key, machine in profiles().items():
        grid = lay(drawn.boundary, field_map.grid.crs, machine)
        layers = map_layers(field_map, grid, targets)
        truth = onto(grid, sick.astype(np.float32), drawn.true_transform, "average")
        curve = savings_curve(grid, layers.score, layers.examined, truth=truth, synthetic=True, resamples=50)
        found[key] = (100 * curve.operating.saved, 100 * curve.ceiling)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=32)
    parser.add_argument("--image-size", type=int, default=64)
    parser.add_argument("--fields", type=int, default=6)
    parser.add_argument("--unseen", type=int, default=3)
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        for seed in range(options.fields):
            places.cut(places.field(seed), options.side, work / "tiles", rng)
        recipe = Recipe(image_size=options.image_size, search=False, finetune=False)
        build(work / "tiles", work / "b.bundle", recipe=recipe, budget_seconds=600, cache=work / "cache", say=print_no)
        print("| unseen drawn field (SYNTHETIC) | label | true ha | mapped ha | error, % of the field | IoU |")
        print("| --- | --- | --- | --- | --- | --- |")
        rest, savings = [], []
        for i in range(options.unseen):
            setting = Setting(infestation=0.25, weeds=0.06, patch_m=5.0, bbch=places.STAGES[i % len(places.STAGES)])
            drawn = draw(setting, seed=100 + i)
            folder = files.write(drawn, work / f"field{i}")
            made, _ = field_maps.make(
                work / "b.bundle",
                folder / "field.tif",
                work / f"map{i}",
                boundary=folder / "boundary.gpkg",
                tile=options.side,
            )
            truth = on_cells(drawn, made)
            with rasterio.open(made.class_path) as source:
                found = source.read(1)
            seen = (found != 255) & truth["inside"]
            for label, parts in GROUPS.items():
                true = np.isin(truth["class"], [drawn.labels.index(part) for part in parts])
                said = np.isin(found, [made.labels.index(part) for part in parts])
                iou = (seen & true & said).sum() / max((seen & (true | said)).sum(), 1)
                exact = sum(drawn.square_metres()[part] for part in parts) / 1e4
                mapped = sum(made.hectares[part] for part in parts)
                error = 100 * (mapped - exact) / made.hectares["field"]
                print(f"| {i} | {label} | {exact:.4f} | {mapped:.4f} | {error:+.1f} | {iou:.3f} |", flush=True)
            true, said = severity(truth, made)
            r2 = 1 - ((true - said) ** 2).sum() / ((true - true.mean()) ** 2).sum()
            rest.append(
                f"| {i} | {r2:.2f} | {np.corrcoef(true, said)[0, 1] ** 2:.2f} | {len(true)} | "
                f"{made.card['seam']['ratio']:.2f} | {made.hectares['not_examined']:.4f} |"
            )
            savings.append(saved(drawn, made))
        print("\n| field | severity R2 | r2 | squares | seam ratio | NOT EXAMINED ha |")
        print("| --- | --- | --- | --- | --- | --- |")
        print("\n".join(rest))
        print("\n| machine | saved at 95 % of the diseased area, % | its ceiling, % |\n| --- | --- | --- |")
        for key in savings[0]:
            own, ceiling = ([s[key][j] for s in savings] for j in (0, 1))
            print(f"| {key} | {', '.join(f'{v:.0f}' for v in own)} | {', '.join(f'{v:.0f}' for v in ceiling)} |")


def print_no(_: str) -> None:
    return None


if __name__ == "__main__":
    main()
