"""Memory files: `artifact.files` reads and writes them, `artifact.inspection` looks into one without torch.

Nothing is imported here, so that an inspection starts at once. The format is docs/format.md.
"""
