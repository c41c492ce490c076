"""Written answers that miss the point: six axes, by rule and by judge."""
