from pathlib import Path

import pytest

from shared import atomic


def test_a_file_is_whole_or_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    atomic.write(path, "first")
    with pytest.raises(RuntimeError), atomic.file(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "first" and list(tmp_path.iterdir()) == [path]


def test_a_folder_replaces_the_older_one_whole(tmp_path: Path) -> None:
    path = tmp_path / "f"
    for content in ("old", "new"):
        with atomic.folder(path) as temporary:
            (temporary / content).touch()
    assert [p.name for p in path.iterdir()] == ["new"] and list(tmp_path.iterdir()) == [path]


def test_interrupted_between_the_two_renames_the_old_folder_takes_its_place_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "f"
    with atomic.folder(path) as temporary:
        (temporary / "old").touch()
    real = Path.replace

    def interrupted(self: Path, target: Path) -> Path:
        if target == path and not self.name.endswith(".old"):
            raise KeyboardInterrupt
        return real(self, target)

    monkeypatch.setattr(Path, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt), atomic.folder(path) as temporary:
        (temporary / "new").touch()
    assert [p.name for p in path.iterdir()] == ["old"] and list(tmp_path.iterdir()) == [path]
