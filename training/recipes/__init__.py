"""Recipes: one file a product, with one typed function that returns the complete recipe."""

from __future__ import annotations

import pkgutil
from typing import TYPE_CHECKING

from training.errors import UserError

if TYPE_CHECKING:
    from training.recipe import Recipe

RECIPES = ("demo", "jobs", "jobs-135m", "jobs-7b", "products")


def find_recipe(name: str) -> Recipe:
    """The recipe of that name. Raises UserError with the names that exist."""
    if name not in RECIPES:
        raise UserError(f"there is no recipe {name!r}; there are: {', '.join(RECIPES)}")
    recipe: Recipe = pkgutil.resolve_name(f"{__name__}.{name.replace('-', '_')}:recipe")()
    return recipe
