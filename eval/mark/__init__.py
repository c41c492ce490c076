"""MARK: decisions for individuals, with their reasons."""
