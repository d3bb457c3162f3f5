"""What the server tells about itself: its access log, its metrics, the health of RediAI."""
