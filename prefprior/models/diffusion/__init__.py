"""Noise schedules, solvers and guidance: no network and no objective in here."""
