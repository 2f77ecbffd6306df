"""The table of labels beside a folder of photographs in, one row of known facts per file out."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from shared.data.manifest import read_table
from shared.errors import DataError, Problem
from verticals.medical import taxonomy

TABLE = "labels.csv"
_PATIENT, _LESION = ("patient", "patient_id", "group"), ("lesion", "lesion_id")
"""A group is what must stay together: taken for a patient, never for a lesion, of which a patient may have many."""
_FACTS = {
    "age_years": ("age", "age_years", "age_approx"),
    "sex": ("sex",),
    "body_site_name": ("localization", "body_site", "anatom_site_general"),
    "fitzpatrick": ("fitzpatrick", "fitzpatrick_skin_type"),
    "thickness_mm": ("mel_thick_mm",),
    "diameter_mm": ("clin_size_long_diam_mm",),
}
"""Columns that are taken for photographs, by the names that public tables give them; of a DICOM object its own header
says more."""
_SEXES = {"male": "M", "m": "M", "female": "F", "f": "F", "other": "O", "o": "O"}
_NUMBERS = {"age_years": 130.0, "thickness_mm": 100.0, "diameter_mm": 1000.0}
"""What is read as a number, and below what it is believed; Breslow thickness and long clinical diameter as in
isic-metadata, for the strata of early lesions."""
_TYPES = ("I", "II", "III", "IV", "V", "VI")


@dataclass(frozen=True)
class LabelRow:
    """What the table says about one file.

    Attributes:
        label: Code of the taxonomy, empty where nobody said.
        patient: Whose photograph it is, as the table has it; must be replaced before anything is written.
        lesion: Which lesion it shows, likewise.
        facts: ``age_years``, ``sex``, ``body_site_name``, ``fitzpatrick``, ``thickness_mm`` and ``diameter_mm``, where
            known.
    """

    label: str = ""
    patient: str = field(default="", repr=False)
    lesion: str = field(default="", repr=False)
    facts: Mapping[str, str | float] = field(default_factory=dict)


NOTHING = LabelRow()


def read_labels(path: Path) -> tuple[Mapping[str, LabelRow], tuple[Problem, ...]]:
    """Read ``labels.csv``: ``path`` (relative, with ``/``), ``label``, and any of patient, lesion, age, sex and site.

    Returns:
        Rows by path, and what is wrong with single rows, named by their line: a path could name a patient. Both are
        empty where there is no table.

    Raises:
        DataError: The table cannot be read.
    """
    if not path.is_file():
        return {}, ()
    rows: dict[str, LabelRow] = {}
    problems = []
    for line, record in enumerate(read_table(path).to_dict("records"), start=2):
        cells = {str(key): str(value).strip() for key, value in record.items()}
        label = ""
        try:
            label = taxonomy.resolve(cells["label"]).code if cells.get("label") else ""
        except DataError as error:
            problems.append(Problem(f"{TABLE} line {line}", f"{error}; the picture stays without a label"))
        name = cells["path"].removeprefix("./")
        if name in rows:
            problems.append(
                Problem(f"{TABLE} line {line}", "names a file that an earlier line names; the first counts")
            )
            continue
        rows[name] = LabelRow(label, _first(cells, _PATIENT), _first(cells, _LESION), _facts(cells))
    return rows, tuple(problems)


def unused(rows: Mapping[str, LabelRow], files: frozenset[str]) -> tuple[Problem, ...]:
    """One problem for all rows whose file is not there."""
    missing = len(rows.keys() - files)
    if not missing:
        return ()
    return (Problem(TABLE, f"names {missing} files that are not there; copy them beside it, or remove their lines"),)


def _first(cells: Mapping[str, str], names: tuple[str, ...]) -> str:
    return next((cells[name] for name in names if cells.get(name)), "")


def _facts(cells: Mapping[str, str]) -> dict[str, str | float]:
    """Values that are understood; the others count as not said."""
    said = {key: _first(cells, names) for key, names in _FACTS.items()}
    facts: dict[str, str | float] = {}
    for name, most in _NUMBERS.items():
        try:
            value = float(said[name].rstrip("+ "))  # isic-metadata writes 85+
        except ValueError:
            continue
        if 0 <= value < most:
            facts[name] = value
    if said["sex"].lower() in _SEXES:
        facts["sex"] = _SEXES[said["sex"].lower()]
    if said["body_site_name"].lower() not in ("", "unknown"):
        facts["body_site_name"] = said["body_site_name"].lower()
    if said["fitzpatrick"].upper() in _TYPES:
        facts["fitzpatrick"] = said["fitzpatrick"].upper()
    return facts
