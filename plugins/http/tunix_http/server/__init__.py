"""The application put together, described by OpenAPI, and run by ``tunix-rt serve``."""
