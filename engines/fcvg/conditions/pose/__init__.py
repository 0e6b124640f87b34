"""People in the two frames at the ends: found and measured by DWPose's networks, followed, and drawn."""
