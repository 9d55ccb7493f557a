"""What several networks share: encoders, blocks, pretrained weights and stored models."""
