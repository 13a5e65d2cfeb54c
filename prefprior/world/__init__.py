"""The built-in miniature: procedural pictures, a miniature CLIP, a miniature unCLIP decoder, people with known tastes."""
