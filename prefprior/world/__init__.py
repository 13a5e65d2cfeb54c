"""The built-in miniature: procedural pictures, a CLIP, an unCLIP decoder, and simulated users with a known utility.

Importing it registers the miniature CLIP: from then on `encoder=world` and spaces called world-clip are found.
"""

from prefprior.world.clip import register

register()
