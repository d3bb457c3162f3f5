"""What a training step takes of some devices, found before anything is spent."""
