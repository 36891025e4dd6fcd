"""What a `StabilityStudy` is made of: its design, its draws, its runs and their statistics."""
