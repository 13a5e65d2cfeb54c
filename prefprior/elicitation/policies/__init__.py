"""Policies: what to ask next, given a belief. Each has a config in `conf/policy`."""
