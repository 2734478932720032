"""Several methods over several seeds in one table: which is best, which are alike."""
