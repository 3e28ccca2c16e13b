"""The gpucost command."""
