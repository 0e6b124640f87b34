"""Quality: frames are dropped, made again by every peer, and compared with those that were dropped."""
