"""The operations of the API, a module per group; parsing and shaping only."""
