"""The rules of the house: rooms with one door each, and imports that only go down.

A folder of `skbert/` is a room, and its `__init__.py` is its only door. Every other file of a room is `_name.py`.
Imports are absolute; a room imports the doors of lower floors, and nobody imports the roof, `skbert/__init__.py`.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# From the ground up. A room imports doors of lower floors only, never of its own floor or of one above.
FLOORS = [
    ["_version", "errors", "_shared"],
    ["text", "store", "plots", "pages", "datasets", "saving"],
    ["compute", "pooling"],
    ["encoder"],
    ["networks", "training"],
    ["estimators"],
    ["recipes", "stability", "probing", "landscape", "pretraining", "senses"],
    ["cli"],
    ["__init__"],  # the roof
]
FLOOR_OF = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
# Whatever stands at the root beside the rooms.
AT_THE_ROOT = {"__init__.py", "_version.py", "errors.py", "recipes.py", "py.typed"}


def imports(code, package):
    """(line, dotted name, is relative) of each import; a name that is a file of a room counts as the file."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name, False) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            home = package.parent / (node.module or "").replace(".", "/")
            for alias in node.names:
                is_file = home != package and ((home / alias.name).is_dir() or (home / f"{alias.name}.py").is_file())
                yield node.lineno, f"{node.module}.{alias.name}" if is_file else node.module or "", node.level > 0


def breach(file, target, package):
    """What is wrong with it that `file` imports `target`, a path of names below the package; None if nothing is."""
    inside = file.relative_to(package).with_suffix("").parts
    room, floor = inside[0], FLOOR_OF.get(inside[0], -1)
    if not target:
        return "imports the roof"
    if target[0] not in FLOOR_OF:
        return f"imports {target[0]}, on no floor"
    if target[0] != room or room == "__init__":
        if any(part.startswith("_") for part in target[1:]):
            return "goes past a door"
        return None if FLOOR_OF[target[0]] < floor else "does not go down"
    # Within a room: its files, those of the room around it, and the doors of rooms in it.
    if (package.joinpath(*target) / "__init__.py").is_file():
        return "imports the door of a room that it is in" if inside[: len(target)] == target else None
    return None if inside[: len(target) - 1] == target[:-1] else "goes past a door"


def breaches(package):
    """Every breach of the rules in the files of `package`, a folder, one line each."""
    at_the_root = {path.name for path in package.iterdir() if path.is_file()}
    found = [f"{name} at the root" for name in sorted(at_the_root - AT_THE_ROOT)]
    for file in sorted(package.rglob("*.py")):
        where = file.relative_to(package).as_posix()
        if len(file.relative_to(package).parts) > 1 and not file.name.startswith("_"):
            found.append(f"{where} is named like a door")
        if file.parent.name not in FLOOR_OF and file.parent.parent == package:
            found.append(f"{where} stands on no floor")
        for line, name, is_relative in imports(file.read_text(encoding="utf-8"), package):
            first, *target = name.split(".")
            if is_relative:
                found.append(f"{where}:{line} is relative")
            elif first == package.name and (wrong := breach(file, tuple(target), package)):
                found.append(f"{where}:{line} {wrong}")
    return found


def test_house__holds_its_rules():
    assert breaches(ROOT / "skbert") == []


def test_floors__hold_every_room_once():
    rooms = {path.name for path in (ROOT / "skbert").iterdir() if (path / "__init__.py").is_file()}
    files = {Path(name).stem for name in AT_THE_ROOT if name.endswith(".py")}
    declared = [room for rooms in FLOORS for room in rooms]
    assert sorted(declared) == sorted(rooms | files)


SOUND = {
    "__init__.py": "from house.cli import main",
    "_version.py": "",
    "errors.py": "class HouseError(Exception): pass",
    "text/__init__.py": "from house.text._tokens import tokens",
    "text/_tokens.py": "from house.errors import HouseError\nimport os.path",
    "encoder/__init__.py": "from house.encoder._path import path",
    "encoder/_path.py": "from house.encoder import _runner\nfrom house.encoder.families import runner",
    "encoder/_runner.py": "from house.text import tokens",
    "encoder/families/__init__.py": "from house.encoder.families._bert import runner",
    "encoder/families/_bert.py": "from house.encoder._runner import tokens",
    "probing/__init__.py": "import house.text as text",
    "stability/__init__.py": "",
    "cli/__init__.py": "def main():\n    from house.encoder import path",
}


@pytest.mark.parametrize(
    ("file", "code", "wrong"),
    [
        ("text/_new.py", "from house.errors import HouseError\nfrom house.text._tokens import tokens", None),
        ("_more.py", "", "_more.py at the root"),
        ("attic/__init__.py", "", "attic/__init__.py stands on no floor"),
        ("text/tokens.py", "", "text/tokens.py is named like a door"),
        ("text/_new.py", "from . import _tokens", "text/_new.py:1 is relative"),
        ("text/_new.py", "from ._tokens import tokens", "text/_new.py:1 is relative"),
        ("text/_new.py", "from house import errors", "text/_new.py:1 imports the roof"),
        ("text/_new.py", "from house import main", "text/_new.py:1 imports the roof"),
        ("text/_new.py", "import house", "text/_new.py:1 imports the roof"),
        ("text/_new.py", "from house.text import tokens", "text/_new.py:1 imports the door of a room that it is in"),
        ("text/_new.py", "def late():\n    from house.encoder import path", "text/_new.py:2 does not go down"),
        ("stability/_new.py", "from house.probing import text", "stability/_new.py:1 does not go down"),
        (
            "stability/_new.py",
            "from house.attic import old",
            "stability/_new.py:1 imports attic, on no floor",
        ),
        ("encoder/_new.py", "from house.text._tokens import tokens", "encoder/_new.py:1 goes past a door"),
        ("encoder/_new.py", "from house.text import _tokens", "encoder/_new.py:1 goes past a door"),
        ("encoder/_new.py", "import house.text._tokens", "encoder/_new.py:1 goes past a door"),
        ("encoder/_new.py", "from house.encoder.families._bert import runner", "encoder/_new.py:1 goes past a door"),
        ("__init__.py", "from house.cli._main import main", "__init__.py:1 goes past a door"),
    ],
)
def test_rules__find_a_planted_breach(tmp_path, file, code, wrong):
    package = tmp_path / "house"
    for name, text in {**SOUND, file: code}.items():
        path = package / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert breaches(package) == ([] if wrong is None else [wrong])


def past_doors(folder):
    """Imports from within the rooms in what a user may read and copy: files, and Python blocks of pages."""
    found = []
    for file in sorted([*folder.rglob("*.py"), *folder.rglob("*.md")]):
        text = file.read_text(encoding="utf-8")
        blocks = [text] if file.suffix == ".py" else re.findall(r"^```python\n(.*?)^```", text, re.M | re.S)
        for line, name, _ in (row for block in blocks for row in imports(block, ROOT / "skbert")):
            if name.split(".")[0] == "skbert" and "._" in name:
                found.append(f"{file.name}:{line} imports {name}")
    return found


@pytest.mark.parametrize("folder", ["benchmarks", "docs", "examples"])
def test_benchmarks_docs_and_examples__go_through_doors(folder):
    assert past_doors(ROOT / folder) == []


@pytest.mark.parametrize("name", ["page.md", "plot.py"])
def test_code_of_pages_and_examples__is_read(tmp_path, name):
    code = "from skbert import (\n    recipes,\n)\nfrom skbert.text._tokens import tokenize\n"
    (tmp_path / name).write_text(f"Text.\n\n```python\n{code}```\n" if name.endswith(".md") else code)
    assert past_doors(tmp_path) == [f"{name}:4 imports skbert.text._tokens"]
