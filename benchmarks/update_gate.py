"""Planted updates through the command: the good ones must be promoted, the bad ones refused with their reason.

    python benchmarks/update_gate.py PHOTOGRAPHS [--sets ...]

Of each set a half by group builds a bundle (`loupe build`, closed-form head), which `loupe update` then meets with

- the other half in two good updates, promoted one after the other, and rolled back (`loupe roll-back`): the answers of
  `loupe predict` are compared byte by byte with those before;
- a tenth of the labels of the other half flipped to another label;
- one label missing: all its images, old and new, filed under its neighbour, as when a folder is renamed by mistake;
- the other half washed out: contrast taken down to 15 % towards white, as by fog on the lens or a wrong exposure.

Every update is of real photographs. Prints Markdown with the reason of each refusal as the gate gave it.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from shared.data import images

SETS = ("industrial/neu_surface", "medical/isic_7class", "agriculture/plantvillage_apple")
FLIPPED = 0.1
CONTRAST, WHITE = 0.15, 235.0
"""A grey value g becomes WHITE + CONTRAST * (g - WHITE)."""
LOUPE = str(Path(sys.executable).parent / "loupe")


def loupe(*arguments: object) -> subprocess.CompletedProcess[str]:
    """One call of the command."""
    return subprocess.run([LOUPE, *map(str, arguments)], capture_output=True, text=True)


def halves(table: pd.DataFrame, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Two halves of a table; images of one group are in one of them."""
    group = table["group"].where(table["group"] != "", table["path"])
    names = np.random.default_rng(seed).permutation(group.unique())
    first = group.isin(names[: len(names) // 2])
    return table[first], table[~first]


def flipped(table: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """A tenth of the labels replaced by another one."""
    labels = sorted(table["label"].unique())
    wrong = rng.permutation(len(table))[: round(FLIPPED * len(table))]
    spoilt = table.copy()
    for i in wrong:
        others = [label for label in labels if label != table["label"].iloc[i]]
        spoilt.iloc[i, spoilt.columns.get_loc("label")] = rng.choice(others)
    return spoilt


def one_missing(table: pd.DataFrame, rng: np.random.Generator) -> tuple[pd.DataFrame, str]:
    """The whole set with all images of one label under another one, and the label that is gone."""
    gone, other = rng.permutation(sorted(table["label"].unique()))[:2]
    return table.assign(label=table["label"].replace(gone, other)), str(gone)


def washed_out(table: pd.DataFrame, folder: Path) -> pd.DataFrame:
    """The same pictures with little contrast, written as PNG."""
    folder.mkdir()
    paths = []
    for i, path in enumerate(table["path"]):
        picture = WHITE + CONTRAST * (images.read(Path(path)).astype(np.float32) - WHITE)
        paths.append(str(folder / f"{i:05}.png"))
        cv2.imwrite(paths[-1], picture.clip(0, 255).astype(np.uint8)[..., ::-1])
    return table.assign(path=paths)


def written(table: pd.DataFrame, file: Path) -> Path:
    """A table as a file."""
    table.to_csv(file, index=False)
    return file


def told(name: str, planted: str, wanted: str, run: subprocess.CompletedProcess[str], gate: Path) -> bool:
    """Print one line of the table; whether the outcome is the wanted one."""
    outcome = {0: "promoted", 2: "refused"}.get(run.returncode, f"exit {run.returncode}")
    reasons = (
        "; ".join(c["said"] for c in json.loads(gate.read_text())["checks"] if not c["passed"]) if gate.exists() else ""
    )
    # Whole paths are for whoever corrects the labels; here the names are enough.
    reasons = re.sub(r"/[^ ,:]*/", "", reasons)
    said = reasons or (run.stderr.strip().splitlines() or [""])[-1]
    if not run.returncode:
        checks = json.loads(run.stdout)["update"]["checks"]
        said = f"{len(checks)} checks passed; " + "".join(c["said"] for c in checks if c["name"] == "new images")
    print(f"| {name} | {planted} | {'yes' if outcome == wanted else 'NO'}: {outcome} | {said} |", flush=True)
    return outcome == wanted


def one_set(photographs: Path, name: str, seed: int, work: Path) -> list[bool]:
    """Every planted update of one set."""
    table = pd.read_csv(photographs / name / "labels.csv", dtype="string", keep_default_na=False)
    table = table[["path", "label", "group"]].assign(
        path=[str((photographs / name / p).resolve()) for p in table["path"]]
    )
    old, new = halves(table, seed)
    rng = np.random.default_rng(seed)
    parent, registry = work / "parent.bundle", work / "registry"
    data = written(old, work / "old.csv")
    built = loupe(
        "build", data, "-o", parent, "--set", "search=false", "--set", "finetune=false", "--set", f"seed={seed}"
    )
    if built.returncode:
        sys.exit(built.stderr)
    gone_table, gone = one_missing(table, rng)
    planted = {
        "a tenth of the labels flipped": flipped(new, rng),
        f"one label missing ({gone})": gone_table,
        "washed out": washed_out(new, work / "washed"),
    }
    right = []
    for number, (what, spoilt) in enumerate(planted.items()):
        out, refused = work / f"bad{number}.bundle", work / f"bad{number}.registry"
        run = loupe(
            "update", parent, written(spoilt, work / f"bad{number}.csv"), "-o", out, "--registry", refused, "--json"
        )
        right.append(told(name, what, "refused", run, out.with_name(out.name + ".gate.json")))
        right.append(not out.exists() and not refused.exists())
    answers = []
    for number, part in enumerate(halves(new, seed + 1)):
        out = work / f"good{number}.bundle"
        source = registry if registry.exists() else parent
        run = loupe(
            "update", source, written(part, work / f"good{number}.csv"), "-o", out, "--registry", registry, "--json"
        )
        right.append(told(name, f"good, {len(part)} images", "promoted", run, out.with_name(out.name + ".gate.json")))
        if right[-1]:
            answers.append(predicted(registry, photographs / name, work))
    if len(answers) == 2:
        loupe("roll-back", registry)
        back = predicted(registry, photographs / name, work)
        right.append(back == answers[0] != answers[1])
        outcome = "byte-equal" if back == answers[0] else "DIFFERENT"
        print(
            f"| {name} | rolled back | {'yes' if right[-1] else 'NO'}: {outcome} | {len(back):,} bytes of answers |",
            flush=True,
        )
    return right


def predicted(registry: Path, folder: Path, work: Path) -> bytes:
    """The answers of the version that answers now, about every image of a set."""
    run = loupe("predict", registry, folder, "-o", work / "answers.jsonl")
    if run.returncode:
        sys.exit(run.stderr)
    return (work / "answers.jsonl").read_bytes()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photographs", type=Path)
    parser.add_argument("--sets", nargs="*", default=list(SETS))
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    print("| set | planted | as wanted | what was said |\n| --- | --- | --- | --- |")
    right = []
    for name in options.sets:
        with tempfile.TemporaryDirectory() as work:
            right += one_set(options.photographs, name, options.seed, Path(work))
    print(f"\n{sum(right)} of {len(right)} outcomes as wanted; after each refusal nothing had been written")


if __name__ == "__main__":
    main()
