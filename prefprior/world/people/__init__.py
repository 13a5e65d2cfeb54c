"""Simulated users: what they like, how they come across pictures and how they rate them."""
