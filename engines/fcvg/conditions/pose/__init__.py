"""People in the two frames at the ends: found and measured by DWPose's networks, followed, and drawn.

What goes into the networks, what comes out and how it is drawn is as in the public code of DWPose and FCVG. Other than
there,

- where the detector finds nobody, nobody is drawn (the public code then takes the whole picture for a person),
- people are paired nearest first, by pixels, so that swapping the ends changes nothing; the public code goes by their
  order on the left, by shares of the sides, and looks at no more people on the right than there are on the left,
- between the ends, joints that are not seen stay undrawn, as they are at the ends; the public code draws them, dimly,
- pictures narrower than 4:1 are drawn somewhat coarser: the canvas would be too large.
"""
