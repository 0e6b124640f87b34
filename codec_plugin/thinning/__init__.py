"""Making low-rate streams: frames dropped by a pattern, or in a closed loop that restores them on the spot."""
