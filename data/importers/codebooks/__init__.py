"""Codebooks that come along, one YAML file each. What was imported keeps its items when a codebook changes."""
