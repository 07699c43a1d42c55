"""The words that the lesson explains, in the order in which a reader meets them: ``learn.glossary.<id>``."""

GLOSSARY = (
    *("token", "context", "batch", "parameter", "layer", "activation", "logits", "loss", "gradient"),
    *("optimizer", "step", "autocast", "kv_cache", "bandwidth", "flop"),
)
