"""The networks: SVD's UNet with a place for the control, and the encoder that makes the control from pictures."""
