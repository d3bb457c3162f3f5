"""The core's evaluators; each reads predictions and needs no accelerator."""
