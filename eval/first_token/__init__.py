"""First-token probability alignment: distributional accuracy."""
