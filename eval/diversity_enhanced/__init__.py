"""DEF: cultural fidelity by simulated survey takers."""
