"""What several networks share: encoders, blocks and pretrained weights."""
