"""The key file: made once, for its owner alone, never shown."""

import os
from pathlib import Path

import pytest

from shared.errors import ConfigError
from verticals.medical.privacy.pseudonyms import load_key, opaque, patient, uid


def test_the_key_is_made_on_first_use_for_its_owner_alone_and_is_the_same_afterwards(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "site.key"
    first = load_key(path)
    assert load_key(path) == first and len(first.secret) == 32
    assert path.stat().st_mode & 0o777 == 0o600
    assert [p.name for p in path.parent.iterdir()] == ["site.key"]
    assert load_key(tmp_path / "other.key") != first
    assert uid(first, "1.2.3") == uid(first, "1.2.3\0") != uid(load_key(tmp_path / "other.key"), "1.2.3")
    assert opaque(first, "a", "x") != opaque(first, "b", "x") and patient(first, "x") != patient(first, "y")


@pytest.mark.skipif(os.name != "posix", reason="file modes are of POSIX")
def test_a_key_that_others_may_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "site.key"
    load_key(path)
    path.chmod(0o640)
    with pytest.raises(ConfigError, match="mode is 640, allowed is 600"):
        load_key(path)


def test_a_file_that_holds_no_key_is_refused_and_not_shown(tmp_path: Path) -> None:
    path = tmp_path / "site.key"
    path.write_text("the cat sat on the mat")
    path.chmod(0o600)
    with pytest.raises(ConfigError, match="does not hold 64") as told:
        load_key(path)
    assert "cat" not in str(told.value)
