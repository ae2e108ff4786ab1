"""The walls of the house: which room may import which."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
# Within a floor a room may import what stands to its left, so that no two ever import each other.
FLOORS = [
    [
        *("errors", "seeding", "normalisation", "files", "vision", "devices", "wording", "compiling"),
        *("measures", "failures", "stopping"),
    ],
    ["registry", "nets", "search_spaces"],
    ["config", "formation", "data"],
    ["augment", "training", "storage"],
    ["distillation"],
    ["evaluation", "cadence", "jobs", "workload", "pretrained"],
    ["trainables", "tuning"],
    ["report", "api"],
    ["cli", "__main__"],
]
FLOOR = {room: place for place, room in enumerate(room for rooms in FLOORS for room in rooms)}
PURE = ["distillation", "nets", "data", "augment", "training", "evaluation", "storage"]


def python_files():
    for package in ("raydd", "trainables", "search_spaces"):
        yield from sorted((ROOT / package).rglob("*.py"))


def room_of(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return parts[0] if parts[0] != "raydd" else parts[1]


def runtime_imports(path):
    """Modules that a file imports, at the top or inside functions, but for `if TYPE_CHECKING:` blocks."""
    tree = ast.parse(path.read_text())
    skipped = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            skipped |= {id(child) for statement in node.body for child in ast.walk(statement)}
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def imported_rooms(path):
    for module in runtime_imports(path):
        parts = module.split(".")
        if parts[0] in ("trainables", "search_spaces"):
            yield parts[0]
        elif parts[0] == "raydd" and len(parts) > 1 and parts[1] in FLOOR:
            yield parts[1]


@pytest.mark.parametrize("path", list(python_files()), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_room_imports_only_from_lower_floors(path):
    room = room_of(path)
    if room == "__init__":
        return
    for other in imported_rooms(path):
        assert other == room or FLOOR[other] < FLOOR[room], f"{path} imports {other}"


def test_every_room_stands_on_a_floor():
    rooms = {room_of(path) for path in python_files()} - {"__init__"}
    assert rooms <= set(FLOOR)


@pytest.mark.parametrize(
    ("library", "allowed"),
    [
        ("ray", {"tuning", "trainables"}),
        ("mlflow", {"tuning"}),
        ("optuna", {"tuning", "report"}),
        ("torchvision", {"vision"}),
    ],
)
def test_only_the_named_rooms_import(library, allowed):
    users = {
        room_of(path)
        for path in python_files()
        if library in {m.split(".")[0] for m in runtime_imports(path)}
    }
    assert users <= allowed


def test_only_one_file_imports_mlflow_and_only_base_imports_ray_among_the_trainables():
    mlflow = [p.name for p in python_files() if "mlflow" in {m.split(".")[0] for m in runtime_imports(p)}]
    assert mlflow == ["tracking.py"]
    trainables = [p for p in python_files() if room_of(p) == "trainables"]
    assert [p.name for p in trainables if "ray" in {m.split(".")[0] for m in runtime_imports(p)}] == [
        "base.py"
    ]


def test_search_spaces_import_no_torch():
    for path in python_files():
        if room_of(path) == "search_spaces":
            assert "torch" not in {module.split(".")[0] for module in runtime_imports(path)}


def test_pure_rooms_load_neither_ray_nor_mlflow_nor_optuna():
    code = f"""
import sys
{chr(10).join(f"import raydd.{room}" for room in PURE)}
print(sorted(set(sys.modules) & {{"ray", "mlflow", "optuna"}}))
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_importing_raydd_loads_nothing_heavy():
    heavy = {"torch", "ray", "mlflow", "optuna", "numpy", "pydantic"}
    code = f"import sys, raydd; print(sorted(set(sys.modules) & {heavy}))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_no_method_is_named_in_tuning():
    for path in (ROOT / "raydd" / "tuning").glob("*.py"):
        names = {
            node.value for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Constant)
        }
        assert not names & {"iid", "dm", "idm", "idc", "udd", "dwa", "sre2l"}, path
