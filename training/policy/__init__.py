"""The policy document: Markdown with line numbers, parser, prompt."""
