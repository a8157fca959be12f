"""Five floors, imports only downwards; a file may import from its own floor if that makes no circle.

A file of stm_core that is not named here is a plain thing: it imports plain things only, and no torch.
"""

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from importlib import import_module
from pathlib import Path

import stm_core

ROOT = Path(__file__).parent.parent
PLAIN, COMPUTING, KEEPING, DOING, DOORS = range(5)
FLOORS = {
    COMPUTING: "attention backbone compact compact_layers lite network packed paper readout result scaling",
    KEEPING: "footprint memory storage weight_files weights whereabouts window",
    DOING: "bench clicks evaluate profile propagation propagator report save segment",
    DOORS: "__main__ cli",
}
FLOOR_OF = {f"stm_core.{name}": floor for floor, names in FLOORS.items() for name in names.split()}


def floor_of(module: str) -> int:
    if module.split(".")[0] != "stm_core":
        return DOORS  # app and demo
    return DOING if module.startswith("stm_core.training") else FLOOR_OF.get(module, PLAIN)


def modules() -> dict[str, Path]:
    """Module name -> file, of the project's own code; the package itself only lists the public names."""
    files = [*ROOT.glob("stm_core/**/*.py"), *ROOT.glob("demo/*.py"), ROOT / "app.py"]
    found = {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in files if path.exists()}
    found.pop("stm_core.__init__")
    return {name.removesuffix(".__init__"): path for name, path in found.items()}


def imports(name: str, path: Path, known: dict) -> set[str]:
    """Modules that a file imports when it runs, wherever in it; those for type hints only do not count."""
    tree, found = ast.parse(path.read_text()), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING":
            node.body = []
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            parts = {f"{base}.{alias.name}" for alias in node.names}
            found.update(parts & set(known) or {base})
    return found


KNOWN = modules()
GRAPH = {name: imports(name, path, KNOWN) for name, path in KNOWN.items()}


def test_imports_go_downwards():
    wrong = [
        f"{name} imports {other}"
        for name, others in GRAPH.items()
        for other in others & set(KNOWN)
        if floor_of(other) > floor_of(name)
    ]
    assert not wrong


def test_imports_make_no_circle():
    list(TopologicalSorter({name: others & set(KNOWN) for name, others in GRAPH.items()}).static_order())


def test_plain_things_know_no_network():
    wrong = [
        name
        for name, others in GRAPH.items()
        if floor_of(name) == PLAIN
        and any(other.split(".")[0] in ("torch", "torchvision") for other in others)
    ]
    assert not wrong


def test_only_the_front_doors_import_what_learns():
    wrong = [
        f"{name} imports {other}"
        for name, others in GRAPH.items()
        for other in others
        if other.startswith("stm_core.training")
        and not name.startswith("stm_core.training")
        and floor_of(name) != DOORS
    ]
    assert not wrong


def test_the_library_does_not_know_the_page():
    pages = ("demo", "app", "gradio")
    assert not [
        n
        for n, others in GRAPH.items()
        if n.startswith("stm_core") and any(o.split(".")[0] in pages for o in others)
    ]


def test_every_file_that_has_a_floor_exists():
    assert not set(FLOOR_OF) - set(KNOWN)


def test_public_names_are_sorted_exist_and_say_what_they_are():
    names = stm_core.__all__
    assert names == sorted(names, key=lambda name: (not name.isupper(), name[0].islower(), name)) and len(
        set(names)
    ) == len(names)
    for name in names:
        assert name.isupper() or getattr(stm_core, name).__doc__, name


def test_every_public_name_has_a_module_and_stays_itself_when_modules_load():
    assert sorted(stm_core.MODULE_OF) == sorted(stm_core.__all__)
    assert set(stm_core.__all__) <= set(dir(stm_core))
    for name, module in stm_core.MODULE_OF.items():
        assert getattr(stm_core, name) is getattr(import_module(f"stm_core.{module}"), name), name
    files = {path.stem for path in ROOT.glob("stm_core/*")}
    assert not files & set(stm_core.__all__)  # a module that loads would take the place of its namesake


def test_modules_are_found_after_a_bare_import():
    code = "import stm_core; print(len(stm_core.masks.PALETTE), stm_core.memory.__name__)"
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["256", "stm_core.memory"]
