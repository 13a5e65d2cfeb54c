"""The generator: history encoder and denoiser, and the in-context architecture."""
