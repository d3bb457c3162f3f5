"""What lives as long as the server: threads that hold a workspace, workers, and their services."""
