"""What a request has to pass: hosts, origins, the token, deadlines, limits on size and depth."""
