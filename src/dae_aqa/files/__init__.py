"""Files: how the project writes, locks, hashes and reads them."""
