"""Files: how the project writes, copies, hashes and reads them, and brings outputs back."""
