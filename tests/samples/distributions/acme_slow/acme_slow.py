"""Does at import what should wait."""

import time

time.sleep(0.3)
