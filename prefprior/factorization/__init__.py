"""Matrix factorisation in closed form: what baselines and the trained model's collaborative head share."""
