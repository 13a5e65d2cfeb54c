"""Procedural pictures: factors, palettes, rendering and captions."""
