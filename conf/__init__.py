"""Hydra configuration, found from any directory as `pkg://conf`."""
