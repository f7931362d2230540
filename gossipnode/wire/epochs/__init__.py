"""What members tell each other and keep of epochs, and of the starts of their stores."""
