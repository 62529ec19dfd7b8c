"""What a running trial shows on the terminal."""
