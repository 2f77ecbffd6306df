"""Strict TOML into frozen dataclasses: an unknown key, a wrong type or a value out of range is refused with advice."""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, Field, fields, is_dataclass
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from shared.errors import ConfigError

T = TypeVar("T")


def did_you_mean(word: str, allowed: Sequence[str]) -> str:
    """The advice that ends an error: the closest allowed word, or all of them."""
    close = get_close_matches(word, allowed, n=1, cutoff=0.6)
    return f"did you mean {close[0]!r}?" if close else f"allowed: {', '.join(sorted(allowed))}"


def load(cls: type[T], *files: Path, overrides: Sequence[str] = ()) -> T:
    """Read a dataclass from TOML files, later ones over earlier ones, then ``key=value`` overrides.

    Args:
        cls: A frozen dataclass; its defaults hold where no file says otherwise.
        *files: TOML files.
        overrides: ``"key=value"``; the value is TOML (``0.5``, ``true``, ``"text"``), bare words are text,
            dots reach into tables.

    Raises:
        ConfigError: Where, what was found, what is allowed.
    """
    merged: dict[str, Any] = {}
    for file in files:
        try:
            _merge(merged, tomllib.loads(file.read_text(encoding="utf-8")))
        except OSError as error:
            raise ConfigError(f"{file}: cannot be read ({error.strerror}); give a TOML file") from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigError(f"{file}: is not valid TOML ({error})") from error
    for override in overrides:
        _merge(merged, _parse_override(override))
    return build(cls, merged, where=", ".join(str(f) for f in files) or "options")


def load_once(cls: type[T], *files: Path) -> T:
    """As :func:`load`, for what is asked for with every image: files are read again only where they have changed.

    Args:
        cls: A frozen dataclass; all callers share the one that was made.
        *files: TOML files.

    Raises:
        ConfigError: As :func:`load`.
    """
    try:
        state = tuple((file, (told := file.stat()).st_mtime_ns, told.st_size) for file in files)
    except OSError:
        return load(cls, *files)
    made: T = _loaded(cls, state)  # type: ignore[arg-type]
    return made


@lru_cache(maxsize=64)
def _loaded(cls: type[Any], state: tuple[tuple[Path, int, int], ...]) -> Any:
    return load(cls, *(file for file, _, _ in state))


def profiles(cls: type[T], file: Path) -> Mapping[str, T]:
    """The dataclasses in a TOML file that comes with the package, one table each, by key.

    Raises:
        ConfigError: As :func:`build`.
    """
    tables = tomllib.loads(file.read_text(encoding="utf-8"))
    return {key: build(cls, table, where=f"{file.name}: {key}") for key, table in tables.items()}


def build(cls: type[T], data: Mapping[str, Any], *, where: str) -> T:
    """Check ``data`` against the dataclass ``cls`` and make one.

    Raises:
        ConfigError: An unknown or missing key, or a value of the wrong type.
    """
    assert is_dataclass(cls)
    hints = get_type_hints(cls)
    known: dict[str, Field[Any]] = {f.name: f for f in fields(cls)}
    for key in data:
        if key not in known:
            raise ConfigError(f"{where}: unknown key {key!r}; {did_you_mean(key, list(known))}")
    missing = [
        name for name, f in known.items() if name not in data and f.default is MISSING and f.default_factory is MISSING
    ]
    if missing:
        raise ConfigError(f"{where}: missing key {missing[0]!r}; add it")
    try:
        return cls(**{key: _typed(value, hints[key], f"{where}: {key}") for key, value in data.items()})
    except ValueError as error:
        raise ConfigError(f"{where}: {error}") from error


def _typed(value: Any, hint: Any, where: str) -> Any:
    origin, args = get_origin(hint), get_args(hint)
    if origin is UnionType:
        plain = [a for a in args if a is not NoneType]
        return None if value is None and NoneType in args else _typed(value, plain[0], where)
    if isinstance(hint, type) and is_dataclass(hint) and isinstance(value, Mapping):
        return build(hint, value, where=where)
    if origin is tuple and isinstance(value, list):
        item_hints = [args[0]] * len(value) if len(args) == 2 and args[1] is Ellipsis else list(args)
        if len(item_hints) == len(value):
            return tuple(_typed(v, h, f"{where}[{i}]") for i, (v, h) in enumerate(zip(value, item_hints, strict=True)))
    if origin in (dict, Mapping) or getattr(origin, "__name__", "") == "Mapping":
        if isinstance(value, Mapping):
            return {k: _typed(v, args[1], f"{where}.{k}") for k, v in value.items()}
    elif hint is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    elif isinstance(hint, type) and type(value) is hint:
        return value
    name = getattr(hint, "__name__", str(hint))
    raise ConfigError(f"{where}: is {value!r} ({type(value).__name__}), allowed is {name}")


def _merge(into: dict[str, Any], new: Mapping[str, Any]) -> None:
    for key, value in new.items():
        if isinstance(value, Mapping) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = dict(value) if isinstance(value, Mapping) else value


def _parse_override(text: str) -> dict[str, Any]:
    key, sign, raw = text.partition("=")
    if not sign or not key.strip():
        raise ConfigError(f"--set {text}: expected key=value, e.g. --set image_size=160")
    try:
        value = tomllib.loads(f"value = {raw}")["value"]
    except tomllib.TOMLDecodeError:
        value = raw
    nested: dict[str, Any] = {}
    inner = nested
    *parents, last = key.strip().split(".")
    for parent in parents:
        inner = inner.setdefault(parent, {})
    inner[last] = value
    return nested
