"""Irrigation advice against measured soil water: 40 cotton plots, Maricopa (Arizona) 2018, probes read about weekly.

    python benchmarks/irrigation.py DATA [--plots test|development]

DATA holds the season of pyfao56's test09 (``cotton2018.wth``, ``irrigation.csv``, ``plots/``; USDA-ARS, CC0). Choices
(terms, stiffness, costs) were made on the plots of odd positions; the figures are of the even ones. A plot-day needs
water where the measured depletion fraction has reached the limit (MAD). A missed irrigation costs as many needless ones
as there are days without need for one with, on the plots of odd positions: with right probabilities this gives the
greatest balanced accuracy. Soil and roots of the simulation were fitted by its authors to these very plots after the
season, which flatters every row alike. Prints Markdown.
"""

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pyfao56
from pyfao56.tools import SoilWaterSeries

from shared.reporting.rates import Rate
from verticals.agriculture.irrigation import balance, probe, soil
from verticals.agriculture.irrigation.advice import Rule
from verticals.agriculture.irrigation.agreement import agreement, kappa_gain
from verticals.agriculture.irrigation.weather import Station, Weather

LIMITS = (0.3, 0.4, 0.5, 0.65)
HEADING = "| advice | accuracy | balanced accuracy | kappa | F1 | missed | needless |"


@dataclass(frozen=True)
class Plot:
    """One plot's season."""

    name: str
    daily: pd.DataFrame
    ground: soil.Soil
    readings: tuple[probe.Reading, ...]
    theirs: "np.ndarray"

    @property
    def development(self) -> bool:
        """Whether choices were made on it: odd positions."""
        return int(self.name[1:3]) % 2 == 1


@dataclass(frozen=True)
class Case:
    """One plot-day with a reading that nobody has looked at yet."""

    plot: Plot
    known: probe.Situation
    unprobed: probe.Situation
    depletion: float

    @property
    def position(self) -> str:
        """Place in the field; its four repeats have the same treatment."""
        return self.plot.name[:3]


Allowed = Callable[[Case, Case], bool]
"""Whether the first may be learned from to judge the second; the same for all of one position and day."""


def day(key: str) -> date:
    return datetime.strptime(key, "%Y-%j").date()


def weather(data: Path) -> Weather:
    read = pyfao56.Weather(str(data / "cotton2018.wth"))
    table = read.wdata
    index = pd.Index([day(key) for key in table.index], name="date")
    names = {"ETref": "eto_mm", "Rain": "rain_mm", "Tmax": "tmax_c", "Tmin": "tmin_c", "RHmin": "rhmin_pct"}
    days = table.rename(columns=names)[list(names.values())].astype(float).set_axis(index)
    days["wind2m_m_s"] = table["Wndsp"].to_numpy(float) * 4.87 / np.log(67.8 * read.wndht - 5.42)
    return Weather(Station(read.lat, read.z, read.wndht), days)


def plots(data: Path) -> Iterator[Plot]:
    sky, given = weather(data), pd.read_csv(data / "irrigation.csv")
    for file in sorted((data / "plots").glob("*.sws")):
        name, stem = file.stem.removeprefix("cotton2018"), str(file.with_suffix(""))
        par, sol = pyfao56.Parameters(), pyfao56.SoilProfile(stem + ".sol").sdata
        par.loadfile(stem + ".par")
        layers = tuple(soil.Layer(int(depth), *row) for depth, row in zip(sol.index, sol.to_numpy(), strict=True))
        ground = soil.Soil(layers, par.Ze, par.REW)
        planting = balance.Planting(
            day("2018-108"), (par.Lini, par.Ldev, par.Lmid, par.Lend), (par.Kcmini, par.Kcmmid, par.Kcmend),
            (par.Kcbini, par.Kcbmid, par.Kcbend), (par.hini, par.hmax), (par.Zrini, par.Zrmax), par.pbase,
        )  # fmt: skip
        events = [
            balance.Event(day(f"{year:.0f}-{doy:.0f}"), depth)
            for year, doy, depth in given[["Year", "DOY", name]].to_numpy(float).tolist()
        ]
        # The files' days are already the day before the probe was read, in the morning.
        readings = tuple(
            probe.Reading(day(key), tuple(profile.mvswc.values()), morning=False)
            for key, profile in sorted(SoilWaterSeries(str(file)).swdata.items())
        )
        yield Plot(name, balance.dual(sky, planting, ground, events), ground, readings, simulated(stem + "case00.out"))


def simulated(path: str) -> "np.ndarray":
    """The authors' own daily depletion, mm."""
    lines = Path(path).read_text().splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("Year-DOY"))
    column = lines[start].split().index("Dr")
    return np.array([float(line.split()[column]) for line in lines[start + 1 :] if line.strip()])


def cases(found: Sequence[Plot]) -> list[Case]:
    result = []
    for plot in found:
        for known, depletion in zip(*probe.pairs(plot.daily, plot.ground, plot.readings), strict=True):
            result.append(Case(plot, known, replace(known, last=None), depletion))
    return result


def states(judged: Sequence[Case], pool: Sequence[Case], allowed: Allowed, *, probed: bool) -> list[probe.Depletion]:
    """State of every judged case, learned from those of the pool that it allows."""
    learned: dict[tuple[str, date], probe.Corrections] = {}
    for case in judged:
        if (case.position, case.known.on) not in learned:
            pairs = [c for c in pool if allowed(c, case)]
            known = [c.known if probed else c.unprobed for c in pairs]
            learned[case.position, case.known.on] = probe.learn(known, [c.depletion for c in pairs])
    return [
        probe.estimate(c.known if probed else c.unprobed, learned[c.position, c.known.on]) for c in judged
    ]  # fmt: skip


def line(name: str, advised: "np.ndarray", needed: "np.ndarray", names: Sequence[str]) -> str:
    def cell(rate: Rate) -> str:
        return "-" if rate.value is None else f"{rate.value:.3f} [{rate.low:.2f}, {rate.high:.2f}]"

    a = agreement(advised, needed, names)
    return "| " + " | ".join([name, *(cell(getattr(a, k)) for k in (
        "accuracy", "balanced_accuracy", "kappa", "f1", "missed", "needless"))]) + " |"  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--plots", choices=("test", "development"), default="test")
    options = parser.parse_args()
    found = list(plots(options.data))
    off = np.concatenate([np.abs(p.daily["depletion_mm"].to_numpy() - p.theirs) for p in found])
    print(f"Agreement with pyfao56's own simulation: {np.mean(off <= 0.1):.2%} of {len(off)} plot-days within 0.1 mm, "
          f"greatest difference {off.max():.3f} mm. (Correctness, not accuracy of advice.)\n")  # fmt: skip
    every = cases(found)
    development = [c for c in every if c.plot.development]
    judged = development if options.plots == "development" else [c for c in every if not c.plot.development]
    # Choices must not have seen the other plots, also not as something to learn from.
    field = development if options.plots == "development" else every

    def elsewhere(a: Case, b: Case) -> bool:
        return a.position != b.position

    def earlier(a: Case, b: Case) -> bool:
        return a.known.on < b.known.on

    def today(a: Case, b: Case) -> bool:
        return a.known.on == b.known.on

    protocols: dict[str, tuple[Sequence[Case], Allowed]] = {
        "other positions": (development, elsewhere),
        "other positions and other days": (development, lambda a, b: elsewhere(a, b) and not today(a, b)),
        "earlier days, and today elsewhere": (field, lambda a, b: earlier(a, b) or (today(a, b) and elsewhere(a, b))),
        "earlier days alone": (field, earlier),
    }
    probed, bare = (
        {
            f"ours, {name}, {word}": states(judged, pool, allowed, probed=own)
            for name, (pool, allowed) in protocols.items()
        }
        for own, word in ((True, "with probes"), (False, "without"))
    )
    show(judged, probed, bare, {limit: float(np.mean([c.depletion >= limit for c in development])) for limit in LIMITS})


def show(
    judged: Sequence[Case],
    withs: dict[str, list[probe.Depletion]],
    withouts: dict[str, list[probe.Depletion]],
    bases: dict[float, float],
) -> None:
    truth, names = np.array([c.depletion for c in judged]), [c.plot.name for c in judged]
    lasts = [c.known.last for c in judged]
    assert all(lasts)
    bare = {
        "simulation alone": np.array([c.known.simulated for c in judged]),
        "last probe (persistence)": np.array([last.depletion for last in lasts if last]),
        "balance from the last probe": np.array([last.carried for last in lasts if last]),
    }
    learned = withs | withouts
    for limit in LIMITS:
        needed, rule = truth >= limit, Rule(depletion_limit=limit, cost_missed=ratio(bases[limit]))
        a = agreement(needed, needed, names)
        print(f"MAD {limit}: {a.n} plot-days of {len(set(names))} plots, base rate {a.base_rate.value:.3f}, "
              f"majority accuracy {a.majority.value:.3f}, missed : needless {rule.cost_missed:.2f} : 1"
              f"\n\n{HEADING}\n|---|---|---|---|---|---|---|")  # fmt: skip
        advised = {name: share >= limit for name, share in bare.items()}
        advised |= {n: np.array([s.probability(limit) >= rule.threshold for s in d]) for n, d in learned.items()}
        for name, flags in advised.items():
            print(line(name, flags, needed, names))
        for name in withs:
            gain = kappa_gain(advised[name], advised["balance from the last probe"], needed, names)
            print(f"\nKappa of \"{name}\" over \"balance from the last probe\": {gain.value:+.3f} "
                  f"[{gain.low:+.3f}, {gain.high:+.3f}]")  # fmt: skip
        print()
    costs(truth, names, learned, bases)
    print("| state | RMSE of the fraction | bias | 90 % interval covers |\n|---|---|---|---|")
    for name, share in bare.items():
        print(f"| {name} | {np.sqrt(np.mean((share - truth) ** 2)):.3f} | {np.mean(share - truth):+.3f} | - |")
    for name, depletions in learned.items():
        mean = np.array([d.mean for d in depletions])
        inside = [d.interval()[0] <= y <= d.interval()[1] for d, y in zip(depletions, truth, strict=True)]
        print(f"| {name} | {np.sqrt(np.mean((mean - truth) ** 2)):.3f} | {np.mean(mean - truth):+.3f} | "
              f"{np.mean(inside):.1%} |")  # fmt: skip


def ratio(base: float) -> float:
    """Cost of a missed irrigation in needless ones under which the cheapest advice has the best balanced accuracy."""
    return (1 - base) / base


def costs(
    truth: "np.ndarray", names: Sequence[str], learned: dict[str, list[probe.Depletion]], bases: dict[float, float]
) -> None:
    """What a site gets that weighs a missed irrigation otherwise."""
    limit = 0.5
    print(f"MAD {limit} by the cost of a missed over that of a needless irrigation:\n")
    print(f"{HEADING}\n|---|---|---|---|---|---|---|")
    for name in (n for n in learned if "other positions," in n):
        for cost in (1.0, Rule().cost_missed, ratio(bases[limit]), 2.0, 3.0):
            threshold = Rule(depletion_limit=limit, cost_missed=cost).threshold
            advised = np.array([state.probability(limit) >= threshold for state in learned[name]])
            print(line(f"{name}, {cost:.3g} : 1", advised, truth >= limit, names))
    print()


if __name__ == "__main__":
    sys.exit(main())
