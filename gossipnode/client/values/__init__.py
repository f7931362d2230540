"""What applications hand in and get back: plain values, checked, and their text forms."""
