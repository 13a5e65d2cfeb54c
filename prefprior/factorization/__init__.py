"""Matrix factorisation, shared by baselines and the collaborative head."""
