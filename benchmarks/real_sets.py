"""Build and evaluate on real photographs, one row per set.

    python benchmarks/real_sets.py PHOTOGRAPHS --weights FILE [--budget 3m] [--sets industrial/magnetic_tile ...]

PHOTOGRAPHS holds one folder per set with ``labels.csv`` (path,label,group). Runs ``loupe``, prints Markdown.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

SETS = {
    "industrial/magnetic_tile": "industrial",
    "industrial/neu_surface": "industrial",
    "medical/ham10000": "",
    "agriculture/bean_leaf": "",
    "agriculture/deepweeds": "",
}


def loupe(*arguments: object) -> dict[str, Any]:
    line = [str(Path(sys.executable).parent / "loupe"), *map(str, arguments), "--json"]
    done = subprocess.run(line, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True, text=True)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def percent(row: dict[str, Any]) -> str:
    return f"{100 * row['value']:.1f} [{100 * row['low']:.1f} .. {100 * row['high']:.1f}]"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photographs", type=Path)
    parser.add_argument("--weights", type=Path, help="of mobilenetv2_100; without, the default backbone is used")
    parser.add_argument("--budget", default="3m")
    parser.add_argument("--sets", nargs="*", default=list(SETS))
    parser.add_argument("--out", type=Path, help="folder that keeps the bundles")
    options = parser.parse_args()
    backbone = ["--backbone", "mobilenetv2_100", "--weights", options.weights] if options.weights else []
    print("| set | unseen images (groups) | accuracy % | balanced accuracy % | first model s | total s | certificate |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as temporary:
        for name in options.sets:
            data = options.photographs / name / "labels.csv"
            bundle = (options.out or Path(temporary)) / f"{Path(name).name}.bundle"
            vertical = ["--vertical", SETS[name]] if SETS.get(name) else []
            cache = ["--cache", Path(temporary) / "cache"]
            built = loupe("build", data, "-o", bundle, "--budget", options.budget, *vertical, *backbone, *cache)
            found = loupe("evaluate", bundle, data)
            certificate = built["certificate"]
            said = "none: no label means OK" if certificate is None else certificate["sentence"]
            times = f"{built['first_model_seconds']} | {built['seconds']}"
            print(
                f"| {name} | {found['n']} ({found['groups']}) | {percent(found['accuracy'])} | "
                f"{percent(found['balanced_accuracy'])} | {times} | {said} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
