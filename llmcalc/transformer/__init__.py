"""What a Transformer is made of: each part knows its parameters, and shows how they are counted."""
