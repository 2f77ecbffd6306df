"""The facts of each verb as text for the person at the terminal."""

from collections.abc import Iterator, Mapping
from typing import Any

from shared.decide import percent
from shared.reporting import rates
from shared.wording import spoken

Facts = Mapping[str, Any]
_SHOWN = 10
_NOT_TOLD = frozenset({"disclaimer", "notes", "findings", "truth", "vertical", "bundle_hash", "measured"})
"""Facts that stand elsewhere or are for a program: ``measured`` holds in numbers what a report also says in words."""


def rate(row: Facts, n: bool = True) -> str:
    """A share with its interval and count."""
    value = row.get("value", row.get("recall"))
    if row.get("n") == 0 or value is None:
        return "no cases"
    said = f"{rates.percent(value):>7}  [{100 * row['low']:.1f} .. {100 * row['high']:.1f}]"
    return f"{said}  n={row['n']}" if n and "n" in row else said


def note(facts: Facts) -> list[str]:
    """What must stand above every result, e.g. that the backbone was never trained."""
    text = facts.get("backbone", {}).get("note", "")
    return [f"!! {text}"] if text else []


def ingested(facts: Facts) -> str:
    """For ``loupe ingest``."""
    known = f"{facts['known_' + facts['finds']]} known {facts['finds']}"
    lines = [
        f"{facts['samples']} samples ({facts['labelled']} labelled), {known}",
        f"manifest: {facts['manifest']}",
    ]
    lines += [f"not covered: {percent(share)} of {frame}" for frame, share in facts["skipped"].items()]
    return "\n".join([*lines, *(f"left out: {p}" for p in facts["problems"])])


def checked(facts: Facts) -> str:
    """For ``loupe check``: what to do first stands first."""
    lines = note(facts if facts["backbone"] else {})
    lines.append(f"{facts['images']} usable images, {len(facts['problems'])} left out")
    for number, found in enumerate(facts["findings"], start=1):
        points = "" if found["points"] is None else f"  (up to {found['points']:.1f} points)"
        sure = "" if found["certain"] else "look: "
        lines += [f"{number:2}. {sure}{found['what']}{points}", f"    {found['todo']}"]
    if not facts["findings"]:
        lines.append("nothing was found")
    if facts["needs"]:
        lines.append(f"!! {facts['needs']}")
    lines.append(facts["split"]["sentence"])
    lines += [f"  {label:24} {n} images, {facts['groups'][label]} groups" for label, n in facts["labels"].items()]
    lines += [
        f"doubtful: {s['path']} is {s['label']}, likelier {s['likely']} ({100 * s['probability']:.0f} %)"
        for s in (facts["suspects"] or [])[:_SHOWN]
    ]
    lines += [f"stands out: {row['path']} {row['kind']}" for row in facts["quality"][:_SHOWN]]
    copied = facts["copies"]["exact"] + facts["copies"]["near"]
    lines += [f"copies: {', '.join(group['paths'][:4])}" for group in copied[:_SHOWN]]
    lines += [f"left out: {p}" for p in facts["problems"]]
    if max(len(facts["suspects"] or []), len(facts["quality"]), len(copied)) > _SHOWN:
        lines.append(f"of each list the first {_SHOWN} are shown; all of them: --json, with pictures: -o PAGE.html")
    if facts["fixed"]:
        lines += [f"repaired manifest: {facts['fixed']}", *(f"  {change}" for change in facts["changes"])]
    if facts["page"]:
        lines.append(f"page: {facts['page']}")
    return "\n".join(lines)


def built(facts: Facts) -> str:
    """For ``loupe build``."""
    lines = note(facts)
    lines += [
        f"bundle {facts['bundle']}  {facts['size_bytes'] / 1e6:.1f} MB  {facts['seconds']} s of "
        f"{facts['budget_seconds']:g} s, first model after {facts['first_model_seconds']} s",
        *_rates(facts["test"]),
    ]
    for trial in facts["tried"]:
        lines.append(f"tried: {trial['name']}: {trial['why']}")
    over = facts["chosen"]["over_closed_form"]
    if over and facts["chosen"]["name"] != facts["tried"][0]["name"]:
        points = f"{100 * over['value']:+.1f} points [{100 * over['low']:+.1f} .. {100 * over['high']:+.1f}]"
        lines.append(f"{facts['chosen']['name']} over the closed-form head on the test images: {points}")
    lines += [facts[key]["sentence"] for key in ("random_split", "learning_curve", "extra_minute") if key in facts]
    if facts["certificate"]:
        lines.append(f"certificate: {facts['certificate']['sentence']}")
    lines.append(f"report with pictures: {facts['report']}")
    return "\n".join(lines)


def evaluated(facts: Facts) -> str:
    """For ``loupe evaluate``."""
    lines = note(facts)
    if facts["used_for_building"]:
        used = facts["used_for_building"]
        lines.append(f"{used} images of the data built the bundle, or are copies or siblings of such: left out here")
    lines += _rates(facts)
    if facts["not_examined"]:
        lines.append(f"{facts['not_examined']} further images were NOT EXAMINED and are in none of these rates")
    at = facts["at_threshold"]
    if facts.get("certificate"):
        lines.append(f"certificate of the build: {facts['certificate']}")
    if at:
        lines.append(f"flagged from risk {at['threshold']:.3g}: recall {rate(at['recall'])}")
        lines.append(f"{'':24} flagged although it need not be found {rate(at['flagged_ok'])}")
    lines += [f"note: {text}" for text in facts.get("cautions", ())]
    lines += [f"left out: {p}" for p in facts["left_out"]]
    if facts["report"]:
        lines += ["", reported(facts["report"])]
    elif facts["vertical"]:
        lines.append("these are windows of frames; for whole parts: loupe predict, then loupe report")
    return "\n".join(lines)


def _rates(facts: Facts) -> list[str]:
    if not facts.get("n"):
        return ["no test image: nothing can be said about accuracy"]
    lines = [f"{facts['n']} unseen images from {facts['groups']} groups; 95 % intervals in brackets"]
    lines += [f"{spoken(name):24} {rate(facts[name])}" for name in ("accuracy", "balanced_accuracy", "macro_f1")]
    lines += [f"  recall {label:15} {rate(row)}" for label, row in facts["per_label"].items()]
    return lines


def predicted(facts: Facts) -> str:
    """For ``loupe predict``, on stderr."""
    lines = note(facts)
    lines += [
        f"{facts['frames']} frames: {facts['pass']} pass, {facts['flag']} flagged, "
        f"{facts['not_examined']} NOT EXAMINED",
        f"{facts['images']} images in {facts['seconds']} s ({facts['images_per_second']} per second)",
    ]
    return "\n".join([*lines, *(f"left out: {p}" for p in facts["problems"])])


def on_page(facts: Facts) -> dict[str, Any]:
    """The facts of a report as its page shows them: what must be known first, and a unit where a number needs one."""
    told = {name: fact for name, fact in facts.items() if name not in ("measured", "disclaimer")}
    told["notes"] = [*filter(None, [facts.get("disclaimer")]), *facts["notes"]]
    if facts.get("truth", "") is None:
        told.pop("false_findings", None)  # without truth it is always 0, which would be read as praise
    if told.get("length_error_median") is not None:
        told["length_error_median"] = f"{100 * told['length_error_median']:.0f} % of the true length"
    return told


def reported(facts: Facts) -> str:
    """For ``loupe report``."""
    return _of_parts(facts) if "parts" in facts else "\n".join(_of_any(facts))


def _of_any(facts: Facts) -> Iterator[str]:
    """A report by general rules: what must be known first, then each number under its own name; empty ones are left."""
    yield from (f"!! {text}" for text in (facts.get("disclaimer"), *facts.get("notes", ())) if text)
    for name, value in facts.items():
        if name in _NOT_TOLD or value is None or value in ("", [], {}):
            continue
        title = spoken(name)
        if not isinstance(value, Mapping):
            yield f"{title:32} {_plain(value)}"
        elif "value" in value and "low" in value:
            yield f"{title:32} {_share(value)}"
        elif all(isinstance(row, str) for row in value.values()):
            yield title
            yield from (f"  {spoken(k)}: {row}" for k, row in value.items())
        elif all(not isinstance(row, Mapping) for row in value.values()):
            if any(value.values()):
                yield f"{title}: " + ", ".join(f"{spoken(k)} {_plain(v)}" for k, v in value.items() if v)
        else:
            yield title
            rows = {k: row for k, row in value.items() if isinstance(row, Mapping) and "value" in row}
            yield from (f"  {spoken(k):30} {_share(row)}" for k, row in rows.items())


def _share(row: Facts) -> str:
    return rate(row) if row.get("low") is not None else f"{_plain(row['value'])}  n={row.get('n')}"


def _plain(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ("; " if any("," in str(v) for v in value) else ", ").join(str(v) for v in value)
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _of_parts(facts: Facts) -> str:
    parts = facts["parts"]
    lines = [f"!! {text}" for text in facts.get("notes", [])]
    lines += [
        f"{what}: {n['pass']} pass, {n['flag']} flagged, {n['not_examined']} NOT EXAMINED"
        for what, n in (("parts", parts), ("their strips and images", facts["pictures"]))
        if what == "parts" or n != parts
    ]
    if facts.get("truth", True):
        lines.append(f"defect recall            {rate(facts['recall'])}")
        lines += [
            f"  {label:22} {rate(row)}  right type {row['typed_right']}"
            for label, row in facts["recall_per_type"].items()
        ]
        lines.append(f"escapes (defective, passed)  {rate(facts['escapes'])}")
        lines.append(f"overkill (OK, flagged)       {rate(facts['overkill'])}")
        lines.append(f"findings that touch no known defect: {facts['false_findings']}")
    if facts["without_truth"] and facts.get("truth", True):
        lines.append(f"parts about which no truth is known: {facts['without_truth']}")
    if facts["without_answer"]:
        missing = facts["without_answer"]
        more = f" and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else ""
        lines.append(f"no decision at all about {len(missing)}: {', '.join(missing[:_SHOWN])}{more}")
    lines.append(f"NOT EXAMINED, all or some    {rate(facts['not_examined'])}")
    if facts["length_error_median"] is not None:
        compared = facts["lengths_compared"]
        lines.append(f"length error, median         {100 * facts['length_error_median']:.0f} %  n={compared}")
    review = facts["review"]
    if review["seconds_median"] is not None:
        lines.append(
            f"reviewed: {review['confirm']} confirmed, {review['reject']} rejected, {review['relabel']} relabelled, "
            f"{review['stays_not_examined']} stay NOT EXAMINED, median {review['seconds_median']:.1f} s per verdict"
        )
    if log := facts.get("review_log"):
        lines.append(f"review log: {log['rows']} rows, unbroken, the last with hash {log['last_hash']}")
    return "\n".join(lines)


def compressed(facts: Facts) -> str:
    """For ``loupe distil``, ``prune`` and ``quantize``: what was gained, and what it cost on images never seen."""
    step = facts["compression"][-1]
    size, time, test = step["size_bytes"], step["latency_ms"], step["test"]
    ratio = size["before"] / size["after"]
    lines = [
        f"{step['method']}: {step['chosen']}",
        f"size    {size['after'] / 1e6:.2f} MB, before {size['before'] / 1e6:.2f} MB ({ratio:.1f} times smaller)",
        f"time    {time['after']['p50']:.1f} ms an image on one core (p95 {time['after']['p95']:.1f}), before "
        f"{time['before']['p50']:.1f} ms (p95 {time['before']['p95']:.1f})",
    ]
    if test["n"]:
        over, worst = test["balanced_accuracy"], test["per_label"][test["worst_label"]]
        lines += [
            f"test    {_points(over)} balanced accuracy on {test['n']} images; {len(test['flips'])} answers flipped",
            f"worst   {test['worst_label']} {_points(worst)} recall on {worst['n']} images",
        ]
        lines += [
            f"flipped: {f['path']} is {f['label']}, {f['before']} before, {f['after']} now" for f in test["flips"]
        ][:_SHOWN]
    lines += [f"refused: {rung['name']}: {rung['why']}" for rung in step["rungs"][:-1]]
    if facts["certificate"]:
        lines.append(facts["certificate"]["sentence"])
    return "\n".join([*lines, f"bundle: {facts['bundle']}", f"report: {facts['report']}"])


def _points(difference: Facts) -> str:
    return (
        f"{100 * difference['value']:+.1f} points [{100 * difference['low']:+.1f} .. {100 * difference['high']:+.1f}]"
    )


def updated(facts: Facts) -> str:
    """For ``loupe update`` and ``loupe merge``."""
    gate = facts["update"]
    lines = [
        f"{facts['bundle']}: {', '.join(facts['labels'])}",
        f"gate {gate['id']}: passed {len(gate['checks'])} checks",
    ]
    lines += [f"  {check['said']}" for check in gate["checks"]]
    test = facts["test"]
    if test.get("n"):
        lines.append(f"balanced accuracy  {rate(test['balanced_accuracy'])}")
    if facts["certificate"]:
        lines.append(facts["certificate"]["sentence"])
    if facts["registry"]:
        lines.append(f"promoted: {facts['registry']['path']} answers with {facts['registry']['current']}")
    return "\n".join(lines)


def rolled_back(facts: Facts) -> str:
    """For ``loupe roll-back``."""
    return f"{facts['registry']} answers with {facts['current'][:12]} again; {facts['previous'][:12]} is kept"


def exported(facts: Facts) -> str:
    """For ``loupe export``."""
    files = ", ".join(facts["files"])
    lines = [f"{facts['out']}: {files}  {facts['size_bytes'] / 1e6:.1f} MB", f"parity: {facts['sentence']}"]
    if not facts["own_runtime"]:
        lines.append("!! the target's own runtime is not on this machine: compare there before you rely on it")
    lines += [f"takes {facts['preprocessing']}", *(f"note: {note}" for note in facts["notes"])]
    for found in filter(None, (facts["golden"], facts["images"])):
        lines += [f"another label: {name}" for name in found["flips"][:_SHOWN]]
        lines += [f"another side of the threshold: {name}" for name in found["crossings"][:_SHOWN]]
    return "\n".join([*lines, *(f"left out: {p}" for p in facts["problems"])])
