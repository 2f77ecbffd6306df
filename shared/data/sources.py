"""DATA in any of the accepted forms, a Manifest out: class folders, a table, or a VOC, COCO, YOLO or CVAT export."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

from tqdm import tqdm

from shared.data import formats, images, links
from shared.data.manifest import SPLITS, Manifest, Row, from_table, is_manifest, read_table
from shared.errors import DataError, Problem
from shared.records import Sample
from shared.taxonomy import Taxonomy, key

MANIFEST_NAMES = ("manifest.csv", "manifest.parquet")
_TABLES = (".csv", ".parquet")
NOT_PICTURES = frozenset(
    [".csv", ".parquet", ".txt", ".json", ".jsonl", ".xml", ".toml", ".yaml", ".yml", ".names", ".md", ".html", ".log"]
) | {".pdf", ".partial", ".sqlite", ".sqlite-wal", ".sqlite-shm", ".db"}
"""Endings of what lies beside pictures and is none; any other ending may be a picture that we cannot read."""
_SPLIT_WORDS = {
    "train": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
}


def read(data: Path, *, taxonomy: Taxonomy | None = None) -> tuple[Manifest, tuple[Problem, ...]]:
    """Read labelled images.

    Args:
        data: A table (``path,label[,group,split,mask]``, CSV or Parquet), a manifest, a folder with
            one of them, a folder of class folders, or a VOC, COCO, YOLO or CVAT export.
        taxonomy: Where given, labels must be in it; others are listed. Words of one label become the most frequent of
            them, see :func:`shared.taxonomy.key`.

    Returns:
        The manifest, and what was left out with its reason.

    Raises:
        DataError: Nothing usable is there.
    """
    if not data.exists():
        raise DataError(f"{data}: does not exist; give a folder of class folders or a table with path,label")
    rows, folder, vertical, problems = _read(data)
    rows, more = _sound(rows, taxonomy)
    problems += more
    if not rows:
        first = f"; first reason: {problems[0]}" if problems else ""
        raise DataError(f"{data}: no usable image; {len(problems)} were left out{first}")
    return Manifest(tuple(rows), folder, vertical), tuple(problems)


def samples(source: Path) -> tuple[tuple[Sample, ...], Path, tuple[Problem, ...]]:
    """Read images whose labels do not matter: one file, a folder (searched deeply), a table, or a manifest.

    In a folder every picture counts, whether or not a table beside it names it: one that came later must not be
    missing from the answers. Left out are the :func:`masks` of that table.

    Returns:
        Samples, the folder their paths start from, and what could not be read with its reason.

    Raises:
        DataError: Nothing is there.
    """
    if not source.exists():
        raise DataError(f"{source}: does not exist; give an image, a folder of images, a table or a manifest")
    if source.is_file() and source.suffix.lower() in _TABLES:
        rows, folder, _, problems = _from_table(source, labelled=False)
        if any(row.sample.window is not None for row in rows):
            raise DataError(
                f"{source}: lists windows of frames; give the folder that loupe ingest made, which knows the rest"
            )
        if not rows and not problems:
            raise DataError(f"{source}: lists no image; give a table with at least one path")
        return tuple(row.sample for row in rows), folder, tuple(problems)
    folder = source if source.is_dir() else source.parent
    ours, astray = masks(source), _astray(source)
    files = sorted(f for f in _files(source) if f not in ours) if source.is_dir() else [source]
    foreign = [f for f in files if f.suffix.lower() not in images.SUFFIXES | NOT_PICTURES]
    files = [f for f in files if f.suffix.lower() in images.SUFFIXES]
    if not files and not foreign and not astray:
        raise DataError(f"{source}: holds no images; readable endings are {', '.join(sorted(images.SUFFIXES))}")
    rows, problems = _rows([(f.relative_to(folder).as_posix(), {}) for f in files], folder, str)
    problems += [
        Problem(f.relative_to(folder).as_posix(), f"ending {f.suffix!r} is not read; save it as PNG, JPEG or TIFF")
        for f in foreign
    ]
    problems += [Problem(f.relative_to(folder).as_posix(), what) for f, what in astray]
    return tuple(row.sample for row in rows), folder, tuple(problems)


def masks(folder: Path) -> frozenset[Path]:
    """Files that a folder's table names as masks, and not as pictures too: they are no pictures of their own.

    Args:
        folder: Anything else has none.
    """
    table_file = _table_in(folder) if folder.is_dir() else None
    try:
        table = None if table_file is None else read_table(table_file)
    except DataError:
        return frozenset()  # some other program's table
    if table is None or "mask" not in table.columns:
        return frozenset()
    listed = {folder / word for word in table["path"]}
    return frozenset(f for word in table["mask"] if word and (f := folder / word).is_file()) - listed


def masks_told(folder: Path) -> tuple[Problem, ...]:
    """What to tell about :func:`masks`: nothing is decided about them, and nobody should wonder where they are."""
    found = masks(folder)
    said = f"{len(found)} files are masks by the folder's table and are not looked at as pictures"
    return (Problem(str(folder), f"{said} (e.g. {min(found).relative_to(folder)})"),) if found else ()


def vertical_of(data: Path) -> str:
    """Name of the vertical whose ingest made the manifest at ``data``; empty for anything else."""
    table_file = _table_in(data) if data.exists() else None
    if table_file is None:
        return ""
    table = read_table(table_file)
    return str(table["vertical"].iloc[0]) if is_manifest(table) and len(table) else ""


def _table_in(path: Path) -> Path | None:
    if path.is_file():
        return path if path.suffix.lower() in _TABLES else None
    names = (*MANIFEST_NAMES, "labels.csv", "labels.parquet")
    return next((path / name for name in names if (path / name).is_file()), None)


def _read(data: Path) -> tuple[list[Row], Path, str, list[Problem]]:
    table_file = _table_in(data)
    if table_file is not None:
        return _from_table(table_file)
    if formats.detect(data) is not None:
        return _from_annotations(data)
    if data.is_file():
        raise DataError(f"{data}: is neither a table (.csv, .parquet) nor an annotation file; give one or a folder")
    return _from_class_folders(data)


def _from_table(path: Path, *, labelled: bool = True) -> tuple[list[Row], Path, str, list[Problem]]:
    table = read_table(path)
    folder = path.parent
    if is_manifest(table):
        manifest = from_table(table, folder, path)
        rows, problems = _unchanged(manifest)
        return rows, folder, manifest.vertical, problems
    if labelled and "label" not in table.columns:
        found = ", ".join(map(str, table.columns))
        raise DataError(f"{path}: column 'label' is missing; found {found}; needed are path,label[,group,split,mask]")
    records: list[dict[str, str]] = table.to_dict("records")  # type: ignore[assignment]
    entries, problems, seen = [], [], set[str]()
    for number, record in enumerate(records, start=2):
        if record["path"] in seen:
            if not labelled:
                continue  # one answer is enough
            problems.append(Problem(f"{path} line {number}", f"path {record['path']!r} stands there twice; keep one"))
            continue
        seen.add(record["path"])
        split = record.get("split", "").strip().lower()
        if labelled and split and split not in _SPLIT_WORDS:
            problems.append(Problem(f"{path} line {number}", f"split is {split!r}; allowed are {', '.join(SPLITS)}"))
            continue
        entries.append((record["path"], {**record, "split": _SPLIT_WORDS.get(split, "")}))
    # An answer about a picture goes by its path alone, also where it cannot be read.
    rows, more = _rows(entries, folder, (lambda relative: f"{path}: {relative}") if labelled else str)
    return rows, folder, "", problems + more


def _unchanged(manifest: Manifest) -> tuple[list[Row], list[Problem]]:
    """The rows whose files are still what the manifest says; features are kept by content, so a wrong id is poison."""
    problems = {}
    for file in dict.fromkeys(row.sample.path for row in manifest.rows):
        ids = {row.sample.id.split("@")[0] for row in manifest.rows if row.sample.path == file}
        try:
            found = images.content_hash(manifest.folder / file)[:16]
        except DataError as error:
            problems[file] = Problem(file, str(error))
            continue
        if ids != {found}:
            problems[file] = Problem(file, "changed after the manifest was written; make the manifest again")
    return [row for row in manifest.rows if row.sample.path not in problems], list(problems.values())


def _from_class_folders(folder: Path) -> tuple[list[Row], Path, str, list[Problem]]:
    """Class folders, with or without folders for the splits above them."""
    problems = []
    entries: list[tuple[str, dict[str, str]]] = []
    for file in sorted(_files(folder)):
        parts = file.relative_to(folder).parts
        split = _SPLIT_WORDS.get(parts[0].lower(), "") if len(parts) > 2 else ""
        labels = parts[1:-1] if split else parts[:-1]
        if not labels:
            problems.append(Problem(str(file), "lies in no class folder; move it into one named after its label"))
        elif file.suffix.lower() not in images.SUFFIXES:
            problems.append(Problem(str(file), f"ending {file.suffix!r} is not an image; readable are images only"))
        else:
            entries.append(("/".join(parts), {"label": labels[0], "split": split}))
    problems += [Problem(str(file), what) for file, what in _astray(folder)]
    for empty in sorted(d for d in folder.rglob("*") if d.is_dir() and not any(d.iterdir())):
        problems.append(Problem(str(empty), "is an empty class folder; add images, or remove it"))
    rows, more = _rows(entries, folder, str)
    return rows, folder, "", problems + more


def _from_annotations(data: Path) -> tuple[list[Row], Path, str, list[Problem]]:
    folder, items, problems = formats.read(data)
    labels, more = formats.image_labels(items, ok_label="OK")
    rows, unreadable = _rows([(path, {"label": label}) for path, label in labels.items()], folder, str)
    return rows, folder, "", [*problems, *more, *unreadable]


def _rows(
    entries: Iterable[tuple[str, dict[str, str]]], folder: Path, name: Callable[[str], str]
) -> tuple[list[Row], list[Problem]]:
    """Look at each file's header and content hash; what cannot be read is listed."""
    rows, problems = [], []
    for relative, record in tqdm(list(entries), desc="reading headers", unit="image", disable=None, leave=False):
        path = folder / relative
        try:
            width, height = images.size(path)
            identity = images.content_hash(path)[:16]
        except DataError as error:
            problems.append(Problem(name(relative), str(error)))
            continue
        group = record.get("group", "").strip()
        sample = Sample(identity, relative, width, height, frame=relative, group=group)
        rows.append(Row(sample, record.get("label", "").strip(), record.get("split", ""), record.get("mask", "")))
    return rows, problems


def _sound(rows: list[Row], taxonomy: Taxonomy | None) -> tuple[list[Row], list[Problem]]:
    """Leave out what the taxonomy does not know and what contradicts itself."""
    problems: list[Problem] = []
    kept: list[Row] = []
    for row in rows:
        if not row.label:
            # Border tiles of an ingest carry no label by design; a row of a person's table is a slip.
            if row.sample.window is None:
                problems.append(Problem(row.sample.path, "has no label; add it, or take the row out"))
            continue
        if taxonomy is not None and taxonomy.find(row.label) is None:
            try:
                taxonomy.resolve(row.label)
            except DataError as error:
                problems.append(Problem(row.sample.path, str(error)))
            continue
        kept.append(row)
    kept = _one_word_per_label(kept, taxonomy)
    labels = defaultdict(set)
    for row in kept:
        labels[row.sample.id].add(row.label)
    contradicting = {identity for identity, names in labels.items() if len(names) > 1}
    for row in kept:
        if row.sample.id in contradicting:
            names = " and ".join(sorted(labels[row.sample.id]))
            problems.append(
                Problem(row.sample.path, f"the same image is filed under {names}; decide which and keep one")
            )
    return [row for row in kept if row.sample.id not in contradicting], problems


def _one_word_per_label(rows: list[Row], taxonomy: Taxonomy | None) -> list[Row]:
    """Where several words name one label (``ok`` and ``good``; ``ok`` and ``OK``), the most frequent stands for all."""
    words: dict[str, Counter[str]] = defaultdict(Counter)
    for row in rows:
        words[key(row.label, taxonomy)][row.label] += 1
    chosen = {word: counts.most_common(1)[0][0] for counts in words.values() for word in counts}
    return [replace(row, label=chosen[row.label]) for row in rows]


def _astray(folder: Path) -> list[tuple[Path, str]]:
    """Links that nobody follows, where they may stand for pictures."""
    return [(f, what) for f, what in links.unfollowed(folder) if f.suffix.lower() not in NOT_PICTURES]


def _files(folder: Path) -> Iterable[Path]:
    return (
        f for f in folder.rglob("*") if f.is_file() and not any(p.startswith(".") for p in f.relative_to(folder).parts)
    )
