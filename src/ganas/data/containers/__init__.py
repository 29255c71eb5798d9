"""Where images are stored: one class for each kind of place, read in place. No torch here."""
