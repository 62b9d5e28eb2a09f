"""Ranking metrics, bootstrap, kappa, calibration. Pure numpy."""
