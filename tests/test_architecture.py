"""The house rules, read from the sources and from fresh interpreters."""

import ast
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import verticals
from shared import taxonomy
from shared.data import ingested
from shared.vertical import Vertical

ROOT = Path(__file__).resolve().parent.parent
SOURCES = sorted(p for top in ("shared", "verticals") for p in (ROOT / top).rglob("*.py"))

FLOORS: list[set[str]] = [
    {"shared", "shared.errors", "shared.atomic", "shared.verb_options", "shared.wording"},
    {"shared.records", "shared.config"},
    {"shared.tuning"},
    {"shared.taxonomy", "shared.recipe", "shared.policy", "shared.deadline"},
    {"shared.vertical"},
    {"shared.data", "shared.decide", "shared.decisions"},
    {"shared.review"},
    {"shared.inference"},
    {"shared.export"},
    {"shared.training", "shared.predict"},
    {"shared.pretraining"},
    {"shared.reporting", "shared.serving"},
    {"shared.evaluate", "shared.check"},
    {"shared.packing"},
    {"shared.building"},
    {"shared.updating"},
    {"shared.bundling"},
    {"shared.compression"},
    {"shared.build", "shared.compress", "shared.update"},
    {"verticals.agriculture", "verticals.industrial", "verticals.medical"},
    {"verticals", "verticals.tell"},
    {"verticals.answering"},
    {"verticals.sharded"},
    {"verticals.options"},
    {"verticals.steps", "verticals.reviewing", "verticals.serving"},
    {"verticals.compressing", "verticals.demo", "verticals.exporting", "verticals.upkeep"},
    {"verticals.cli"},
]


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def unit(name: str) -> str:
    """The room of the plan that a module belongs to: its longest prefix on a floor."""
    known = {u for floor in FLOORS for u in floor}
    parts = name.split(".")
    for length in range(min(len(parts), 2), 0, -1):
        if ".".join(parts[:length]) in known:
            return ".".join(parts[:length])
    return ".".join(parts[:2])


def floor_of(room: str) -> int:
    return next((i for i, rooms in enumerate(FLOORS) if room in rooms), -1)


@pytest.mark.parametrize("path", SOURCES, ids=module_name)
def test_every_module_has_a_floor_and_imports_go_down_or_stay_in_their_room(path: Path) -> None:
    room = unit(module_name(path))
    assert floor_of(room) >= 0, f"{room} has no floor: give it one in tests/test_architecture.py and in docs"
    for name in imports(path):
        if name.split(".")[0] not in ("shared", "verticals"):
            continue
        target = unit(name)
        allowed = target == room or floor_of(target) < floor_of(room)
        assert allowed, f"{module_name(path)} imports {name}: up or sideways"


@pytest.mark.parametrize("path", [p for p in SOURCES if p.is_relative_to(ROOT / "shared")], ids=module_name)
def test_the_core_never_imports_a_vertical(path: Path) -> None:
    assert not {name for name in imports(path) if name.split(".")[0] == "verticals"}


@pytest.mark.parametrize("path", SOURCES, ids=module_name)
def test_a_vertical_never_imports_another(path: Path) -> None:
    parts = module_name(path).split(".")
    if parts[0] == "verticals" and len(parts) > 1 and parts[1] in verticals.names():
        others = set(verticals.names()) - {parts[1]}
        assert not {n for n in imports(path) for other in others if n.startswith(f"verticals.{other}")}


@pytest.mark.parametrize("path", SOURCES, ids=module_name)
def test_streamlit_is_imported_only_by_the_page_parts(path: Path) -> None:
    if module_name(path) != "shared.review.ui" and path.name != "app.py" and path.parent.name != "page":
        assert not {name for name in imports(path) if name.split(".")[0] == "streamlit"}


def test_nobody_imports_an_app_and_only_an_app_the_parts_of_its_page() -> None:
    assert not [(p, n) for p in SOURCES for n in imports(p) if n.split(".")[-1] == "app"]
    others = [p for p in SOURCES if p.name != "app.py" and p.parent.name != "page"]
    assert not [(p, n) for p in others for n in imports(p) if n.startswith("verticals.") and ".page." in f"{n}."]


def test_no_drawer_for_odds_and_ends() -> None:
    banned = {"utils", "util", "common", "helpers", "base", "core", "misc"}
    assert not [p for p in SOURCES if p.stem in banned]


@pytest.mark.parametrize("path", SOURCES, ids=module_name)
def test_files_stay_small_enough_to_read(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 400


@pytest.mark.parametrize("path", SOURCES, ids=module_name)
def test_every_module_opens_with_a_sentence(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    assert not source.strip() or ast.get_docstring(ast.parse(source))


FRESH = [
    "shared.inference",
    "shared.review",
    "shared.review.store",
    "shared.reporting.rates",
    "shared.predict",
    "verticals.agriculture",
    "verticals.agriculture.verbs",
    "verticals.industrial",
    "verticals.medical",
    "verticals.cli",
    "verticals.steps",
]


@pytest.mark.parametrize("module", FRESH)
def test_a_fresh_interpreter_has_not_loaded_torch(module: str) -> None:
    code = f"import sys, {module}; print('torch' in sys.modules, 'timm' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.split() == ["False", "False"]


def test_inference_runs_with_onnxruntime_and_numpy_alone(bundle: Path) -> None:
    """Everything else that is installed is hidden from the interpreter."""
    code = f"""
import sys, numpy, onnxruntime
allowed = set(sys.stdlib_module_names) | {{m.split('.')[0] for m in sys.modules}} | {{'shared'}}
class Wall:
    def find_spec(self, name, path=None, target=None):
        if name.split('.')[0] not in allowed:
            raise ModuleNotFoundError(f'{{name}} is hidden')
sys.meta_path.insert(0, Wall())
from pathlib import Path
from shared.inference import Runtime
runtime = Runtime.open(Path({str(bundle)!r}))
answers = runtime.predict([numpy.full((50, 40, 3), 128, numpy.uint8)], class_map=True)
print(answers.probabilities.shape, float(answers.probabilities.sum()))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("(1, 3) ")


@pytest.mark.parametrize("name", verticals.names())
def test_every_vertical_keeps_the_contract(name: str, tmp_path: Path) -> None:
    vertical = verticals.load(name)
    assert isinstance(vertical, Vertical) and vertical.name == name
    for file in ("labels.toml", "recipe.toml", "policy.toml", "app.py"):
        assert (vertical.folder / file).is_file(), f"{name} has no {file}"
    labels = taxonomy.load(vertical.folder / "labels.toml")
    raw = vertical.synth(tmp_path / "raw", seed=3, small=True)
    found = vertical.ingest(raw, tmp_path / "out")
    assert found.samples and found.labels and found.truth
    assert all(labels.find(label) for label in found.labels.values())
    assert all((tmp_path / "out" / s.path).is_file() and s.group for s in found.samples)
    assert ingested.unchanged(found, tmp_path / "out") is found, "ids start with the hash of their file"


def test_the_public_names_are_a_decision() -> None:
    import shared.inference

    assert sorted(shared.inference.__all__) == ["Answers", "Bundle", "Runtime"]


@pytest.mark.long
def test_the_wheel_holds_exactly_the_two_packages_and_their_data(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(ROOT)],
        check=True,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("loupe_vision-*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    tops = {n.split("/")[0] for n in names}
    assert {t for t in tops if not t.endswith(".dist-info")} == {"shared", "verticals"}
    for data in ("verticals/industrial/labels.toml", "shared/reporting/page.html.jinja", "shared/py.typed"):
        assert data in names
