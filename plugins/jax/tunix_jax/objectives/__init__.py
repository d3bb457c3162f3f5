"""What training minimises, an objective a module."""
