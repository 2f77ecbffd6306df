"""The clinic's report on two public sets of skin lesions, built and measured through the command.

    python benchmarks/medical_report.py DATA [--budget 10m] [--work DIR] [--sets ham10000 isic_7class]

DATA holds one folder per set with ``images`` and ``labels.csv`` (path,label,group and what is known of the patient);
``group`` names the lesion in both. Runs ``loupe ingest``, ``check``, ``build`` and ``evaluate`` and prints Markdown.
Every figure is measured on the test part, which chose nothing. Where most pictures lie below the quality gate, the set
is built and measured from its table, without the gate, and the table says so. ``--work`` keeps what was made, and what
lies there is not made again.
"""

import argparse
import csv
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

SETS = ("ham10000", "isic_7class")
NO_GATE = "measured without the quality gate"
PUBLISHED = (
    ("balanced accuracy, 8 labels, ISIC 2019 test", "63.6 %", "Gessert et al., arXiv 1910.03910",
     "25,331 training images, ensembles on GPUs; the test part holds a label that no training had"),
    ("accuracy, AUC, 7 labels, DermaMNIST-C (HAM10000 without leaks)", "84.1 %, 0.948",
     "Abhishek et al., Sci Data 12:196 (2025), training logs of ResNet-50 at 224 px",
     "some 7,000 training images, two thirds nevi: accuracy rewards the frequent label; mean AUC over the labels"),
    ("partial AUC above 80 % sensitivity, ISIC 2024", "0.173",
     "leaderboard, as told in junaidaliop.github.io/isic2024-tbp",
     "400,000 total-body crops, 1 in 1,000 malignant, metadata and each patient's other lesions used"),
    ("AUC malignant, clinical photographs", "0.918", "Legit.Health, skin type performance",
     "over 300 diseases, trained on a private collection; not their images"),
    ("sensitivity for melanoma, SCC, BCC; specificity for benign", "95, 98, 97 %; 71 %",
     "Skin Analytics DERM, 29,453 lesions",
     "after market, dermoscopy by their protocol; benign as confirmed by biopsy 29 %"),
    ("sensitivity; specificity", "95.5 %; 20.7 %", "DermaSensor, DERM-SUCCESS, 1,579 lesions",
     "spectroscopy, lesions that a physician already suspected"),
    ("top 3 of 26 diseases", "90 to 93 %", "Liu et al., Nat Med 2020", "clinical photographs with history, 26 labels"),
)  # fmt: skip
"""What was published, where, and what differs; none of it was measured on our images."""


def loupe(*arguments: object) -> dict[str, Any]:
    line = [str(Path(sys.executable).parent / "loupe"), *map(str, arguments), "--json"]
    done = subprocess.run(line, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(line)} ended with {done.returncode}")
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def kept(path: Path, *arguments: object) -> dict[str, Any]:
    """What a verb says, from ``path`` where it has said it already."""
    if not path.is_file():
        path.write_text(json.dumps(loupe(*arguments)), encoding="utf-8")
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def joined(data: Path) -> list[dict[str, str]]:
    """The rows of all the set's tables, those of contradicting labels too."""
    rows = []
    for table in sorted(data.glob("labels*.csv")):
        with table.open(newline="", encoding="utf-8") as stream:
            rows += list(csv.DictReader(stream))
    return rows


def write(rows: list[dict[str, str]], path: Path) -> Path:
    names = list(dict.fromkeys(name for row in rows for name in row))
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, names, restval="")
        writer.writeheader()
        writer.writerows(rows)
    return path


def source(data: Path, out: Path) -> Path:
    """The set as a clinic's folder: links to its pictures, and one table that calls lesions by their name."""
    for row in joined(data):
        picture = out / row["path"]
        picture.parent.mkdir(parents=True, exist_ok=True)
        if not picture.exists():
            picture.symlink_to((data / row["path"]).resolve())
    write([{**{k: v for k, v in row.items() if k != "group"}, "lesion_id": row["group"]} for row in joined(data)],
          out / "labels.csv")  # fmt: skip
    return out


def measured(data: Path, place: Path, budget: str) -> dict[str, Any]:
    """Everything that the verbs say about one set."""
    name, cache = data.name, ("--cache", place / "cache")
    folder = source(data, place / f"{name}.source")
    came = kept(place / f"{name}.ingest.json", "ingest", "medical", folder, "-o", place / name)
    gated = came["below_the_quality_gate"] <= came["samples"] / 2
    chosen = place / name if gated else write(joined(data), folder / "table.csv")
    said = kept(place / f"{name}.check.json", "check", chosen, "--vertical", "medical", *cache)
    bundle = place / f"{name}.bundle"
    options = ("--vertical", "medical", "--budget", budget, *cache)
    built = kept(place / f"{name}.build.json", "build", chosen, "-o", bundle, *options)
    answered = loupe("evaluate", bundle, chosen)
    return {"ingest": came, "check": said, "build": built, "evaluate": answered, "gated": gated}


def share(row: dict[str, Any]) -> str:
    if why := row.get("refused") or row.get("hidden"):
        return str(why)
    if row["value"] is None:
        return "no cases"
    return f"{100 * row['value']:.1f} % [{100 * row['low']:.1f} .. {100 * row['high']:.1f}], n = {row['n']}"


def area(row: dict[str, Any]) -> str:
    if why := row.get("refused"):
        return str(why)
    return f"{row['value']:.3f} [{row['low']:.3f} .. {row['high']:.3f}], n = {row['n']}"


def times(row: dict[str, Any]) -> str:
    if row["ratio"] is None:
        return "cannot be told: one kind is missing"
    return f"{row['ratio']:.2f} times [{row['low']:.2f} .. {row['high']:.2f}], n = {row['n']}"


def rows(found: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """One measure each, with what it was measured on."""
    came, said, built, report = found["ingest"], found["check"], found["build"], found["evaluate"]["report"]
    facts = report["measured"]
    counts, split = facts["counts"], said["split"]
    yield "pictures that came in, below the quality gate", f"{came['samples']}, {came['below_the_quality_gate']}"
    yield "the figures below", "through the gate" if found["gated"] else f"**{NO_GATE}**: it refuses most pictures"
    conflicts = max(came["contradicting_labels"], len(said["contradictions"]["exact"]))
    yield "pictures filed under two labels, left out", str(conflicts)
    price = said["price"]
    worth = f", worth {price['points']:+.1f} points [{price['low']:+.1f} .. {price['high']:+.1f}]" if price else ""
    yield (
        "leaks: test images with a copy or sibling in training, split by image",
        f"{split['leaked_before']:.1%}" + worth,
    )
    yield "the same in the split that was used, by lesion", f"{split['leaked_after']:.1%}"
    yield (
        "test part",
        (
            f"{counts['pictures']} pictures of {counts['lesions']} lesions, {counts['lesions_that_must_not_be_missed']} "
            "malignant or pre-malignant"
        ),
    )
    yield (
        "build",
        (
            f"{built['seconds']:.0f} s of {built['budget_seconds']:.0f} s, first model after "
            f"{built['first_model_seconds']:.0f} s; {built['chosen']['name']}; {built['size_bytes'] / 1e6:.1f} MB"
        ),
    )
    yield "certificate (on the validation part)", built["certificate"]["sentence"]
    at = facts["at_certified_threshold"]
    if "refused" in at:
        yield "the certified threshold alone", at["refused"]
    else:
        yield "sensitivity at the certified threshold alone", share(at["sensitivity"])
        yield "specificity there", share(at["specificity"])
        yield from work(at, facts)
    rate = facts["lesion_detection_rate"]
    yield "**decision** (threshold, prediction sets, novelty): lesion detection rate", share(rate)
    yield from ((f"detected: {name}", share(row)) for name, row in facts["detection_by_kind"].items())
    yield "specificity of the decision", share(facts["specificity"])
    yield "AUC, malignant or pre-malignant (DeLong)", area(facts["auc"])
    yield "partial AUC above 80 % sensitivity (0 to 0.2, chance 0.02)", area(facts["partial_auc_above_80_sensitivity"])
    yield "calibration error of that risk (15 bins)", area(facts["risk_calibration_error"])
    own = facts["diseases"]
    yield "balanced accuracy, 7 labels", share(own["balanced_multiclass_accuracy"])
    yield "top 3", share(own["top_3"])
    yield "calibration error over the labels", area(own["calibration_error"])
    yield "accuracy", share(found["evaluate"]["accuracy"])
    yield "early lesions", "; ".join(f"{n}: {share(row)}" for n, row in facts["early_lesion_sensitivity"].items())


def work(at: dict[str, Any], facts: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Simulated work: pictures that are opened, never reading time."""
    here, *others = at["work_saved"]
    yield f"less opened at it, {here['prevalence']:.0%} malignant", f"{times(here)}, {here['opened']} opened"
    for row in others:
        yield f"the same at {row['prevalence']:.0%}, *simulated by weights*", times(row)
    least = at["prevalence_for_goal"]
    none = "none: specificity is below 66.7 %, so that not even a clinic without any malignant lesion saves so much"
    yield "prevalence at which 3 times less would be opened", none if least is None else f"up to {least:.1%}, simulated"
    yield "less opened until 95 % of the malignant were met, here", times(facts["work_saved"])
    for row in facts["work_saved_at_other_prevalences"]:
        yield f"the same at {row['prevalence']:.0%}, *simulated by weights*", times(row)


def strata(facts: dict[str, Any]) -> Iterator[str]:
    yield "| stratum | lesions | sensitivity of the decision | specificity | AUC |"
    yield "| --- | --- | --- | --- | --- |"
    for name, attribute in facts["strata"].items():
        small = []
        for value, group in attribute["groups"].items():
            if all("hidden" in group[rate] for rate in ("sensitivity", "specificity", "auc")):
                small.append(f"{value} {group['n']}")
                continue
            cells = [share(group["sensitivity"]), share(group["specificity"])]
            told = group["auc"].get("hidden") or area(group["auc"])
            yield f"| {name}: {value} | {group['n']} | {' | '.join([*cells, told])} |"
        if small:
            yield f"| {name}: hidden, fewer than 30 lesions | {', '.join(small)} | | | |"
        gaps = [share(attribute["gap"][rate]) for rate in ("sensitivity", "specificity")]
        yield f"| {name}: best less worst; unknown of {attribute['unknown']} | | {' | '.join(gaps)} | |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--budget", default="10m")
    parser.add_argument("--sets", nargs="*", default=list(SETS))
    parser.add_argument("--work", type=Path, help="folder that keeps what was made")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        place = options.work or Path(temporary)
        place.mkdir(parents=True, exist_ok=True)
        found = {name: measured(options.data / name, place, options.budget) for name in options.sets}
    lines = {name: dict(rows(result)) for name, result in found.items()}
    print(f"{next(iter(found.values()))['evaluate']['report']['disclaimer']}\n")
    print(f"| | {' | '.join(found)} |\n| --- |{' --- |' * len(found)}")
    for measure in dict.fromkeys(name for own in lines.values() for name in own):
        print(f"| {measure} | {' | '.join(own.get(measure, '') for own in lines.values())} |")
    for name, result in found.items():
        facts = result["evaluate"]["report"]["measured"]
        print(f"\n{name} by strata, test part:\n")
        print("\n".join(strata(facts)) if facts["strata"] else "Nothing is known of its patients.")
    print("\nPublished, on other images:\n\n| measure | published | where | what differs |\n| --- | --- | --- | --- |")
    print("\n".join(f"| {' | '.join(row)} |" for row in PUBLISHED))


if __name__ == "__main__":
    main()
