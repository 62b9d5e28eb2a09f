"""What a log says about a ranking that it did not show: off-policy estimates, positions, interleaving, sample sizes."""
