"""`polyphony bench`: how fast this machine answers and trains, and what every recipe does to a model."""
