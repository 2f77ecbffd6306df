from dataclasses import dataclass, field
from pathlib import Path

import pytest

from shared import config
from shared.errors import ConfigError
from shared.recipe import Recipe


@dataclass(frozen=True)
class Inner:
    size: int = 1


@dataclass(frozen=True)
class Outer:
    name: str
    rate: float = 0.5
    inner: Inner = field(default_factory=Inner)
    pair: tuple[float, float] | None = None
    many: tuple[Inner, ...] = ()


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "file.toml"
    path.write_text(text)
    return path


def test_values_nested_tables_and_lists_become_dataclasses(tmp_path: Path) -> None:
    path = write(tmp_path, 'name = "a"\nrate = 1\npair = [1, 2.5]\n[inner]\nsize = 3\n[[many]]\nsize = 4\n')
    assert config.load(Outer, path) == Outer("a", 1.0, Inner(3), (1.0, 2.5), (Inner(4),))


def test_a_later_file_and_then_an_override_win_key_by_key(tmp_path: Path) -> None:
    first = write(tmp_path, 'name = "a"\nrate = 0.1\n')
    second = tmp_path / "second.toml"
    second.write_text("rate = 0.2\n")
    assert config.load(Outer, first, second, overrides=["inner.size=9", "name=bare word"]) == Outer(
        "bare word", 0.2, Inner(9)
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('name = "a"\nrat = 1\n', "unknown key 'rat'; did you mean 'rate'?"),
        ('name = "a"\n[inner]\nsice = 1\n', "did you mean 'size'?"),
        ("rate = 1\n", "missing key 'name'"),
        ('name = "a"\nrate = "fast"\n', "rate: is 'fast' (str), allowed is float"),
        ('name = "a"\n[inner]\nsize = true\n', "size: is True (bool), allowed is int"),
        ('name = "a"\npair = [1]\n', "pair"),
        ("name = \n", "is not valid TOML"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        config.load(Outer, write(tmp_path, text))
    assert said in str(caught.value) and "file.toml" in str(caught.value)


@pytest.mark.parametrize("override", ["image_size=100", "recall=1.5", "folds=1", "lambdas=[]", "lambdas=[-1.0]"])
def test_a_recipe_refuses_values_out_of_range(override: str) -> None:
    with pytest.raises(ConfigError):
        config.load(Recipe, overrides=[override])


def test_an_override_without_a_value_says_how_to_write_one() -> None:
    with pytest.raises(ConfigError, match="expected key=value"):
        config.load(Recipe, overrides=["image_size"])


def test_a_file_is_read_once_and_again_after_a_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "recipe.toml"
    file.write_text("seed = 3\n", encoding="utf-8")
    first = config.load_once(Recipe, file)
    assert first.seed == 3 and config.load_once(Recipe, file) is first
    file.write_text("seed = 14\n", encoding="utf-8")
    assert config.load_once(Recipe, file).seed == 14
    file.unlink()
    with pytest.raises(ConfigError, match="cannot be read"):
        config.load_once(Recipe, file)
