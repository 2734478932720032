"""The methods: a file each, with its head and the function `build_head`."""
