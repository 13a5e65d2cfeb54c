"""The built-in miniature: procedural pictures, a CLIP, an unCLIP decoder, and people with known tastes."""
