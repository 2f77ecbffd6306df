"""Build and evaluate on real photographs, one row per set.

    python benchmarks/real_sets.py PHOTOGRAPHS [--weights FILE] [--budget 10m] [--sets industrial/magnetic_tile ...]

PHOTOGRAPHS holds one folder per set with ``labels.csv`` (path,label,group). Runs ``loupe``, prints Markdown.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

SETS = {
    "industrial/magnetic_tile": "industrial",
    "industrial/neu_surface": "industrial",
    "industrial/deeppcb": "",
    "medical/ham10000": "",
    "medical/isic_7class": "",
    "agriculture/bean_leaf": "agriculture",
    "agriculture/deepweeds": "agriculture",
    "agriculture/plantvillage_apple": "agriculture",
    "agriculture/rice_leaf": "agriculture",
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
    parser.add_argument("--budget", default="10m")
    parser.add_argument("--sets", nargs="*", default=list(SETS))
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="as loupe build --set")
    parser.add_argument("--out", type=Path, help="folder that keeps the bundles")
    options = parser.parse_args()
    backbone = ["--backbone", "mobilenetv2_100", "--weights", options.weights] if options.weights else []
    backbone += [part for key in options.set for part in ("--set", key)]
    print(
        "| set | unseen images (groups) | balanced accuracy % | chosen | over the closed-form head, points | "
        "a random split would promise | by group | first model s | command s | certificate |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as temporary:
        for name in options.sets:
            data = options.photographs / name / "labels.csv"
            bundle = (options.out or Path(temporary)) / f"{Path(name).name}.bundle"
            vertical = ["--vertical", SETS[name]] if SETS.get(name) else []
            cache = ["--cache", Path(temporary) / "cache"]
            started = time.monotonic()
            built = loupe("build", data, "-o", bundle, "--budget", options.budget, *vertical, *backbone, *cache)
            seconds = time.monotonic() - started
            found = loupe("evaluate", bundle, data)
            certificate = built["certificate"]
            said = "none: no label means OK" if certificate is None else certificate["sentence"]
            over, priced = built["chosen"]["over_closed_form"], built.get("random_split", {})
            promised = [percent(priced[side]) if side in priced else "the same" for side in ("leaky", "clean")]
            print(
                f"| {name} | {found['n']} ({found['groups']}) | {percent(found['balanced_accuracy'])} | "
                f"{built['chosen']['name']} | {100 * over['value']:+.1f} [{100 * over['low']:+.1f} .. "
                f"{100 * over['high']:+.1f}] | {' | '.join(promised)} | "
                f"{built['first_model_seconds']:.0f} | {seconds:.0f} | {said} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
