"""Running steps faster: recording, compiling, packing, bfloat16. All that uses private parts of torch."""
