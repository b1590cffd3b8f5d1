"""What is counted: every metric's name and labels, the counters, and what each fact adds to them."""
