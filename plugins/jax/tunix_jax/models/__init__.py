"""What a model is: its shape, its computation, its files."""
