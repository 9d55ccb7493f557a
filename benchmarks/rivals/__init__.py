"""What artasyn is measured against: methods as published, other projectors, plain baselines."""
