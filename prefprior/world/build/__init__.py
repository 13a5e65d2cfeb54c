"""Trains the world's miniature CLIP and decoder."""
