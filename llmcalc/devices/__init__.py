"""One training step on several devices: how it is laid out over them, and what each holds."""
