"""PBTSeg: both lungs by progressive binary thresholding, without training."""
