"""What makes a model or its training smaller: what each technique saves, and what it costs."""
