"""Settings: keys, files, URLs, and the Settings object that they become."""
