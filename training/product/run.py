"""Where a product's steps run: in its own folder. And a recipe in a Python file of one's own."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

from training.errors import UserError
from training.fingerprint import FILES
from training.product.live import training_of
from training.product.recipe import product_recipe
from training.product.settings import SETTINGS, read_settings
from training.recipe import Recipe
from training.step_runner import Run


def is_product(path: Path) -> bool:
    """Whether a word of the command line means a product's folder, and not a recipe's name."""
    return (path / SETTINGS).exists() or len(path.parts) > 1 or path.is_dir()


def product_run(folder: Path) -> Run:
    """Steps in FOLDER/runs, the bundle in FOLDER/bundle. Raises SettingsError or DocumentError."""
    recipe, live = product_recipe(folder), training_of(folder, read_settings(folder)).live
    root, bundle = folder / "runs", folder / "bundle"
    return Run(recipe, folder, root, root, bundle=bundle, live=folder / live if live else None, called=str(folder))


def load_recipe_file(path: Path) -> Recipe:
    """What the function `recipe()` of a Python file returns. Raises UserError for a file without one.

    The file's code counts in fingerprints as the repository's own does; of modules beside it only their bytes, where
    they share its stem.
    """
    if not path.is_file():
        raise UserError(f"--recipe {path}: there is no such file")
    name = f"recipe_of_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if path.suffix != ".py" or spec is None or spec.loader is None:
        raise UserError(f"--recipe {path}: name a Python file, FILE.py")
    module = importlib.util.module_from_spec(spec)
    FILES[name] = path
    sys.modules[name] = module
    spec.loader.exec_module(module)
    if not callable(getattr(module, "recipe", None)):
        raise UserError(f"--recipe {path}: the file has no function `recipe()`")
    recipe = module.recipe()
    if not isinstance(recipe, Recipe):
        raise UserError(f"--recipe {path}: recipe() returns {type(recipe).__name__}, not a training.recipe.Recipe")
    return recipe
