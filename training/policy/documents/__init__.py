"""The policy documents of the recipes, one Markdown file a product. People edit them together."""

from pathlib import Path

POLICIES = Path(__file__).parent
