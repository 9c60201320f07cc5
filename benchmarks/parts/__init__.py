"""What the benchmarks are made of: the other ends of the lines, and processes to be measured on their own."""
