"""Work and rates: operations, bytes that are sent, and how long both take. Training time and cost stand on it."""
