"""The classes that parse requests and shape answers, a module per group of operations."""
