"""How answers are written: plain text, numbers with units, expressions, times and dates."""
