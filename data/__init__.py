"""Surveys, dilemmas, training mixtures and prompts: records in, records out. Imports nothing else of this project."""
