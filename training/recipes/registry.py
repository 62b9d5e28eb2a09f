"""Which recipes there are."""

from __future__ import annotations

from training.recipe import Recipe
from training.recipes import demo, jobs, jobs_7b, products

RECIPES = {"jobs": jobs.recipe, "jobs-7b": jobs_7b.recipe, "products": products.recipe, "demo": demo.recipe}


def find(name: str) -> Recipe:
    """The recipe of that name. Raises KeyError with the names there are."""
    if name not in RECIPES:
        raise KeyError(f"there is no recipe {name!r}; there are: {', '.join(sorted(RECIPES))}")
    return RECIPES[name]()
