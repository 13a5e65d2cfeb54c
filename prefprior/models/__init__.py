"""The prior: networks, objectives, samplers and their training module."""
