"""What each page shows: a function per page, from a workspace and an address to plain data."""
