"""How a detector is learnt from normal radiographs and synthetic anomalies."""
