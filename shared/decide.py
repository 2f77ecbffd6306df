"""What the model saw in one whole image in, a Decision out; and the rules that every vertical's decision shares."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from shared.policy import Policy
from shared.records import Box, Decision, Finding, Sample, Verdict
from shared.vertical import Case, Seen

UNKNOWN = "UNKNOWN"
_LOW, _HIGH = 0.25, 0.6
"""A place belongs to a finding when its evidence reaches the low share of the way from the median to the strongest
place, and hangs together with one that reaches the high share (hysteresis, as in Canny 1986). The median is taken away
because the part of the score that all places share says nothing about where."""


def percent(share: float) -> str:
    """A share (0 to 1) of a frame, where 0 and 100 % are said of nothing and all alone: a lost line is not nothing."""
    if 0 < share < 0.0001:
        return "less than 0.01%"
    return "more than 99.99%" if 0.9999 < share < 1 else f"{share:.2%}"


def risk(seen: Seen, ok_label: str | None) -> float:
    """Probability that it is anything but OK; 1 where the bundle has no label for OK."""
    return 1.0 if ok_label is None else 1.0 - seen.probabilities[ok_label]


def likeliest(seen: Seen, ok_label: str | None) -> str:
    """The likeliest label other than OK."""
    others = {label: p for label, p in seen.probabilities.items() if label != ok_label}
    return max(others, key=lambda label: others[label])


def threshold(case: Case, policy: Policy) -> float:
    """The site's threshold, else the bundle's; 0 (everything is flagged) where neither is known."""
    return policy.threshold or case.threshold or 0.0


def evidence(seen: Seen, label: str, ok_label: str | None) -> NDArray[np.bool_] | None:
    """The cells of the class map that speak for ``label`` rather than OK, ``(rows, columns)``; None without a map."""
    if seen.class_map is None:
        return None
    order = list(seen.probabilities)
    difference = seen.class_map[order.index(label)]
    if ok_label is not None:
        difference = difference - seen.class_map[order.index(ok_label)]
    middle, strongest = float(np.median(difference)), float(difference.max())
    weak = difference >= middle + _LOW * (strongest - middle)
    strong = difference >= middle + _HIGH * (strongest - middle)
    numbers, _ = ndimage.label(weak, structure=np.ones((3, 3)))
    cells: NDArray[np.bool_] = weak & np.isin(numbers, np.unique(numbers[strong]))
    return cells


def cells_box(cells: NDArray[np.bool_], sample: Sample) -> Box:
    """The box around cells, in the Sample's pixels."""
    rows, columns = np.nonzero(cells.any(1))[0], np.nonzero(cells.any(0))[0]
    across, down = sample.width / cells.shape[1], sample.height / cells.shape[0]
    x0, y0 = int(columns[0] * across), int(rows[0] * down)
    x1, y1 = round((columns[-1] + 1) * across), round((rows[-1] + 1) * down)
    return Box(x0, y0, max(x0 + 1, x1), max(y0 + 1, y1))


def verdict(
    case: Case, policy: Policy, findings: Sequence[Finding], reasons: Sequence[str], *, accepted: bool = False
) -> Decision:
    """Flag where there are findings; NOT EXAMINED where too little was looked at; pass only then.

    A frame that was not looked at completely says so in every case, and a risk above the threshold never passes unless
    the site's rules accepted what was found.

    Args:
        case: What is known about the frame.
        policy: What the site decides.
        findings: What was found and not accepted.
        reasons: Why, one sentence each.
        accepted: Whether the site's rules accepted something on this frame.
    """
    said = list(reasons)
    complete = case.examined >= policy.min_examined and bool(case.seen)
    if not complete or case.examined < 1:
        why = "; ".join(p.what for p in case.problems[:3]) or "no reason was recorded"
        said.append(f"{percent(1 - case.examined)} of it was not examined ({why})")
    limit = threshold(case, policy)
    risks = [risk(seen, case.ok_label) for seen in case.seen]
    risky = not all(value < limit for value in risks)  # also where one is not a number
    highest = max(risks, key=lambda value: (not value < limit, value), default=0.0)
    if risky and not findings and not accepted:
        said.append(f"risk {highest:.3g} is flagged from {limit:.3g}, though nothing shows where")
    if findings or (risky and not accepted):
        result = Verdict.FLAG
    elif not complete:
        result = Verdict.NOT_EXAMINED
    else:
        result = Verdict.PASS
        ground = "all of it accepted by rule" if risky else f"below {limit:.3g}"
        far = "completely" if case.examined == 1 else f"as far as the policy asks ({policy.min_examined:g})"
        said.append(f"examined {far}; highest risk {highest:.3g}, {ground}")
    return Decision(case.frame, result, tuple(said), tuple(findings), case.examined)


def decide(case: Case, policy: Policy) -> Decision:
    """Decide about an image that was looked at as a whole."""
    limit = threshold(case, policy)
    findings = []
    for seen in case.seen:
        value, label = risk(seen, case.ok_label), likeliest(seen, case.ok_label)
        if case.ok_label is None or not value < limit:
            cells = evidence(seen, label, case.ok_label)
            region = None if cells is None or cells.all() or not cells.any() else cells_box(cells, seen.sample)
            why = _why(case, label, value, limit)
            findings.append(_finding(case, seen, label, seen.probabilities[label], region, why))
        elif not seen.novelty <= policy.novelty_limit:
            why = f"unlike the training images: novelty {seen.novelty:.2f}, limit {policy.novelty_limit:g}"
            findings.append(_finding(case, seen, UNKNOWN, seen.novelty / (1 + seen.novelty), None, why))
    return verdict(case, policy, findings, [f.why for f in findings])


def _finding(case: Case, seen: Seen, label: str, probability: float, region: Box | None, why: str) -> Finding:
    return Finding(
        frame=case.frame,
        label=label,
        probability=probability,
        risk=risk(seen, case.ok_label),
        region=region,
        samples=(seen.sample.id,),
        novelty=seen.novelty,
        why=why,
    )


def _why(case: Case, label: str, value: float, limit: float) -> str:
    if case.ok_label is None:
        return f"looks like {label}; the bundle has no label that means OK, so nothing passes by itself"
    return f"looks like {label}: risk {value:.3f}, flagged from {limit:.3g}"
