"""Results of long measurements in one JSON file, so that they can be spread over several sittings."""

import json
from pathlib import Path
from typing import Any

from shared import atomic

Record = dict[str, Any]


def read(file: Path) -> list[Record]:
    """All records, empty where there is no file yet."""
    if not file.is_file():
        return []
    records: list[Record] = json.loads(file.read_text(encoding="utf-8"))["results"]
    return records


def add(file: Path, record: Record) -> None:
    """Read again just before writing, so that runs that share the file lose nothing."""
    file.parent.mkdir(parents=True, exist_ok=True)
    lines = ",\n".join(json.dumps(r, separators=(",", ":")) for r in [*read(file), record])
    atomic.write(file, f'{{"results": [\n{lines}\n]}}\n')


def find(records: list[Record], **key: Any) -> Record | None:
    """The newest record with these values."""
    return next((r for r in reversed(records) if all(r.get(k) == v for k, v in key.items())), None)
