"""The packages: each imports only those below it, without circles; imports for type hints count."""

import ast
import re
import subprocess
import sys
from graphlib import TopologicalSorter
from importlib import import_module
from pathlib import Path

import stm_core

ROOT = Path(__file__).parents[1]
GROUND = "errors faults"  # what every package may import
FLOORS = (
    "media memory networks",
    "masks",
    "export incoming",
    "engine",
    "runs training",
    "commands",
)  # the lowest first; packages of one floor do not know each other
BELOW = {
    package: {package, *" ".join([GROUND, *FLOORS[:n]]).split()}
    for n, floor in enumerate(FLOORS)
    for package in floor.split()
}


# the page; what stands first is the lowest
ROOMS = ("limits gradio_fixes", "draw guard", "work", "engine", "panels", "web")
SIDE_BY_SIDE = {"draw", "guard"}  # neither knows the other


def modules() -> dict[str, Path]:
    """Module name -> file of the project's own code, but for the package itself, which only lists names."""
    files = [*ROOT.glob("stm_core/**/*.py"), *ROOT.glob("demo/**/*.py"), ROOT / "app.py"]
    names = {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in files}
    return {name: path for name, path in names.items() if not name.endswith("__init__")}


def imported(path: Path) -> set[str]:
    """Modules that a file imports, wherever in it and whatever for."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path} has a relative import; write the whole name"
            parts = {f"{node.module}.{alias.name}" for alias in node.names} & set(MODULES)
            found.update(parts or {node.module})
    return found


MODULES = modules()
GRAPH = {name: imported(path) for name, path in MODULES.items()}


def test_a_package_imports_only_packages_below_it():
    wrong = []
    for name, others in GRAPH.items():
        top, _, rest = name.partition(".")
        package = rest.split(".")[0]
        for other in others:
            if other.split(".")[0] in ("demo", "app", "gradio"):
                wrong += [f"{name} imports {other}"] * (top == "stm_core")
            elif top == "stm_core" and package in BELOW and other.startswith("stm_core."):
                wrong += [f"{name} imports {other}"] * (other.split(".")[1] not in BELOW[package])
            elif top != "stm_core" and other.startswith("stm_core.training"):
                wrong.append(f"{name} imports {other}")
    assert not wrong


def test_command_lines_are_read_by_the_commands_alone():
    readers = [name for name, others in GRAPH.items() if "argparse" in others]
    assert readers and all(name == "app" or name.startswith("stm_core.commands.") for name in readers)


def room(name: str) -> str | None:
    """The room of the page that a module stands in."""
    return name.split(".")[1] if name.startswith("demo.") else None


def test_a_room_of_the_page_imports_only_rooms_below_it_and_a_panel_no_other_panel():
    height = {name: n for n, floor in enumerate(ROOMS) for name in floor.split()}
    wrong = []
    for name, others in GRAPH.items():
        for other in others:
            mine, theirs = room(name), room(other)
            if not (mine and theirs):
                continue
            if height[theirs] > height[mine] or ({mine, theirs} == SIDE_BY_SIDE):
                wrong.append(f"{name} imports {other}")
            if mine == theirs == "panels" and other != "demo.panels.base":
                wrong.append(f"the panel {name} imports the panel {other}")
    assert not wrong


def test_no_two_modules_have_one_name():
    for top in ("stm_core", "demo"):
        names = sorted(name.rpartition(".")[2] for name in MODULES if name.startswith(f"{top}."))
        assert names == sorted(set(names))


def test_the_list_of_a_package_names_the_modules_that_exist():
    named, missing = [], []
    for path in ROOT.glob("stm_core/**/__init__.py"):
        text = ast.get_docstring(ast.parse(path.read_text())) or ""
        listed = re.findall(r"^([a-z_]+)  +", text, re.MULTILINE)
        named += [path.parent / name for name in listed]
        if listed and path.parent.name != "export":  # whose other files are formats
            own = [one.stem for one in path.parent.glob("*.py") if one.stem != "__init__"]
            missing += [name for name in own if not re.search(rf"\b{name}\b", text)]
    assert len(named) > 40 and not missing
    assert not [path for path in named if not path.is_dir() and not path.with_suffix(".py").is_file()]


def test_imports_make_no_circle():
    list(TopologicalSorter({name: others & set(MODULES) for name, others in GRAPH.items()}).static_order())


def test_media_masks_and_exports_load_without_torch():
    names = [
        n
        for n in MODULES
        if n.startswith(("stm_core.media.", "stm_core.masks.", "stm_core.export.", "stm_core.incoming."))
    ]
    code = f"import sys, importlib as i; [i.import_module(n) for n in {names}]; print('torch' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False"


def test_public_names_are_sorted_exist_and_say_what_they_are():
    names = stm_core.__all__
    assert names == sorted(set(names), key=lambda name: (not name.isupper(), name[0].islower(), name))
    for name in names:
        assert name.isupper() or getattr(stm_core, name).__doc__, name


def test_every_public_name_has_a_module_and_stays_itself_when_modules_load():
    assert sorted(stm_core.MODULE_OF) == sorted(stm_core.__all__)
    assert set(stm_core.__all__) <= set(dir(stm_core))
    for name, module in stm_core.MODULE_OF.items():
        assert getattr(stm_core, name) is getattr(import_module(f"stm_core.{module}"), name), name
    files = {path.stem for path in ROOT.glob("stm_core/*")}
    assert not files & set(stm_core.__all__)  # a module that loads would take the place of its namesake
