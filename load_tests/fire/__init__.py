"""Long forms of what must hold under fire, each beside its negative control: `python -m load_tests.fire`."""
