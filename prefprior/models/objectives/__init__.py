"""How a prior learns and what its output means."""
