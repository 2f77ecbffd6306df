"""The clinic's report on two public sets of skin lesions, built and measured through the command.

    python benchmarks/medical_report.py DATA [--budget 10m] [--work DIR] [--sets ham10000 isic_7class]

DATA holds one folder per set with ``images`` and ``labels.csv`` (path,label,group and what is known of the patient);
``group`` names the lesion in both. Runs ``loupe ingest``, ``check``, ``build`` and ``evaluate`` and prints Markdown.
Every figure is measured on the test part, which chose nothing. Where most pictures lie below the quality gate, what it
says is taken out of the manifest, and the table says so. ``--work`` keeps what was made, and what lies there is not
made again.
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

from shared.data import sources
from shared.evaluate import unseen, used_for_building
from shared.inference import bundle as bundles
from verticals.medical import taxonomy

SETS = ("ham10000", "isic_7class")
NO_GATE = "measured without the quality gate"
GATE = ("quality", "not_scored", "noted")
"""What the gate writes beside a picture."""
PUBLISHED = (
    ("balanced accuracy, 8 labels, ISIC 2019 test", "63.6 %", "Gessert et al., arXiv 1910.03910",
     "25,331 training images; the test part holds diseases that no training had"),
    ("accuracy, AUC, 7 labels, DermaMNIST-C", "84.1 %, 0.948", "Abhishek et al., Sci Data 12:196 (2025), training logs",
     "all of HAM10000 without its leaks, ResNet-50 at 224 px; accuracy rewards the many nevi, of which ours has few"),
    ("partial AUC above 80 % sensitivity, ISIC 2024", "0.173",
     "leaderboard, as told in junaidaliop.github.io/isic2024-tbp",
     "total-body photographs, external and drawn training images, each patient's other lesions used"),
    ("AUC malignant, 300 and more diseases", "0.918", "Legit.Health, skin type performance",
     "clinical photographs of their own collection; 0.836 on dark skin"),
    ("sensitivity for melanoma, SCC, BCC; specificity for benign", "95, 98, 97 %; 71 %",
     "Skin Analytics DERM, 29,453 lesions", "in use, dermoscopy; 29 % where only biopsied benign lesions count"),
    ("sensitivity; specificity", "95.5 %; 20.7 %", "DermaSensor, DERM-SUCCESS, 1,579 lesions",
     "no camera, and lesions that a physician already suspected"),
    ("top 3 of 26 diseases", "90 to 93 %", "Liu et al., Nat Med 2020", "clinical photographs, 26 labels"),
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


def ungated(folder: Path) -> Path:
    """The manifest of an ingest without what the gate says."""
    with (folder / "manifest.csv").open(newline="", encoding="utf-8") as stream:
        listed = list(csv.DictReader(stream))
    for row in listed:
        known = json.loads(row["provenance"])
        row["provenance"] = json.dumps({name: value for name, value in known.items() if name not in GATE})
    return write(listed, folder / "ungated.csv")


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
    chosen = place / name if gated else ungated(place / name)
    said = kept(place / f"{name}.check.json", "check", chosen, "--vertical", "medical", *cache)
    bundle = place / f"{name}.bundle"
    options = ("--vertical", "medical", "--budget", budget, "--cache", place / f"{name}.cache")
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
    counts, split, price = facts["counts"], said["split"], said["price"]
    yield "pictures that came in; below the quality gate", f"{came['samples']}; {came['below_the_quality_gate']}"
    yield "the figures below", "through the gate" if found["gated"] else f"**{NO_GATE}**, which refuses most pictures"
    yield "pictures filed under two labels, left out", str(came["contradicting_labels"])
    worth = f", worth {price['points']:+.1f} points [{price['low']:+.1f} .. {price['high']:+.1f}]" if price else ""
    yield "leaks in a split by image: test images with a sibling in training", f"{split['leaked_before']:.1%}{worth}"
    yield "leaks in the split used, by lesion", f"{split['leaked_after']:.1%}"
    grave = counts["lesions_that_must_not_be_missed"]
    yield "test part", f"{counts['pictures']} pictures, {counts['lesions']} lesions, {grave} malignant or pre-malignant"
    started = f"first model after {built['first_model_seconds']:.0f} s"
    size = f"{built['chosen']['name']}, {built['size_bytes'] / 1e6:.1f} MB"
    yield "build", f"{built['seconds']:.0f} s of {built['budget_seconds']:.0f} s, {started}; {size}"
    yield "certificate, from the validation part", built["certificate"]["sentence"]
    yield from threshold(facts["at_certified_threshold"])
    for row in (facts["work_saved"], *facts["work_saved_at_other_prevalences"]):
        yield work("less opened until 95 % of the malignant lesions were met", row, facts)
    yield (
        "**decision** (threshold, prediction sets, novelty): pictures that pass",
        f"{counts['pass']} of {counts['pictures']}",
    )
    yield "lesion detection rate of the decision", share(facts["lesion_detection_rate"])
    yield from ((f"detected: {name}", share(row)) for name, row in facts["detection_by_kind"].items())
    yield "specificity of the decision", share(facts["specificity"])
    yield "AUC, malignant or pre-malignant (DeLong)", area(facts["auc"])
    yield "partial AUC above 80 % sensitivity (0 to 0.2, chance 0.02)", area(facts["partial_auc_above_80_sensitivity"])
    yield "calibration error of that risk, 15 bins", area(facts["risk_calibration_error"])
    own, early = facts["diseases"], facts["early_lesion_sensitivity"]
    yield "balanced accuracy, 7 labels", share(own["balanced_multiclass_accuracy"])
    yield "accuracy", share({**found["evaluate"]["accuracy"], "n": found["evaluate"]["n"]})
    yield "top 3", share(own["top_3"])
    yield "calibration error over the labels, 15 bins", area(own["calibration_error"])
    yield from ((f"early: {name}", share(row)) for name, row in early.items())


def threshold(at: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """What the certified threshold alone does on the test part; work is pictures opened, never reading time."""
    if "refused" in at:
        yield "sensitivity at the certified threshold alone", at["refused"]
        return
    yield "sensitivity at the certified threshold alone", share(at["sensitivity"])
    yield "specificity there", share(at["specificity"])
    for row in at["work_saved"]:
        yield work("less opened at that threshold", row, None)
    least = at["prevalence_for_goal"]
    why = "none: specificity is below 66.7 %, where not even a clinic without any malignant lesion opens a third"
    yield "prevalence at which a third would be opened", why if least is None else f"up to {least:.1%}, *simulated*"


def work(what: str, row: dict[str, Any], facts: dict[str, Any] | None) -> tuple[str, str]:
    """As measured at the prevalence of the set, or simulated at another by weights."""
    if "simulated prevalence" in row["label"]:
        return f"{what}, *simulated* prevalence of {row['prevalence']:.0%}", times(row)
    opened = (
        f"{row['opened']} opened" if facts is None else f"{row['model']:.0f} opened in place of {row['arrival']:.0f}"
    )
    return f"{what}, at the set's own prevalence", f"{times(row)}, prevalence {row['prevalence']:.0%}, {opened}"


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


def overlap(data: Path, place: Path) -> str:
    """Pictures of the second set that the bundle of the first was built on, by ISIC number, and those it notices."""
    first, second = SETS
    with (place / first / "private" / "sources.csv").open(newline="", encoding="utf-8") as stream:
        stems = {row["name"]: Path(row["file"]).stem for row in csv.DictReader(stream)}
    with (place / first / "manifest.csv").open(newline="", encoding="utf-8") as stream:
        numbers = {row["id"]: stems[row["frame"]] for row in csv.DictReader(stream)}
    bundle = bundles.load(place / f"{first}.bundle")
    used = {numbers[identity] for identity in used_for_building(bundle)}
    manifest, _ = sources.read(data / second / "labels.csv", taxonomy=taxonomy.labels())
    fresh = {row.sample.path for row in unseen(bundle, manifest)}
    known = [row.sample.path for row in manifest.rows if Path(row.sample.path).stem in used]
    noticed = sum(path not in fresh for path in known)
    return (
        f"{len(known)} of {len(manifest.rows)} pictures of {second} show what the bundle of {first} was built on, in "
        f"another crop; `loupe evaluate` notices {noticed} of them by their looks, and all only where both tables name "
        "lesions alike: neither bundle is measured on the other set"
    )


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
        shared = overlap(options.data, place) if set(SETS) <= set(found) else ""
    lines = {name: dict(rows(result)) for name, result in found.items()}
    print(f"{next(iter(found.values()))['evaluate']['report']['disclaimer']}\n")
    print(f"| | {' | '.join(found)} |\n| --- |{' --- |' * len(found)}")
    for measure in dict.fromkeys(name for own in lines.values() for name in own):
        print(f"| {measure} | {' | '.join(own.get(measure, '') for own in lines.values())} |")
    if shared:
        print(f"\n{shared}.")
    for name, result in found.items():
        facts = result["evaluate"]["report"]["measured"]
        print(f"\n{name} by strata, test part:\n")
        print("\n".join(strata(facts)) if facts["strata"] else "Nothing is known of its patients.")
    print("\nPublished, on other images:\n\n| measure | published | where | what differs |\n| --- | --- | --- | --- |")
    print("\n".join(f"| {' | '.join(row)} |" for row in PUBLISHED))


if __name__ == "__main__":
    main()
