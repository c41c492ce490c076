"""Commands, the pipeline of a cell, worker processes and tracking. The only package that knows Hydra and W&B."""
