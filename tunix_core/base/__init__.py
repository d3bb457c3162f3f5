"""What every room stands on: files, locks, times and checks. Knows no noun of the line."""
