"""From a data file to the batches of a run."""
