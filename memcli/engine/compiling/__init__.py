"""Running steps faster: recording, compiling, packing, bfloat16. All that leans on private parts of torch."""
