"""Scripts have no suffix, so they cannot be imported by name."""

from __future__ import annotations

from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType

REPOSITORY = Path(__file__).parents[2]


def load_script(name: str) -> ModuleType:
    """A script of this repository as a module, without running it."""
    spec = spec_from_loader(
        f"script_{name}", SourceFileLoader(f"script_{name}", str(REPOSITORY / "scripts" / name))
    )
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
