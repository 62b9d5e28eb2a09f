"""What must hold before a release, and the files that a release consists of."""
