"""Training objectives. A recipe is a frozen dataclass: fields are its knobs, calling it on a `RunContext` trains."""
