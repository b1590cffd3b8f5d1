"""Rule tables, one module per family of Postfix's daemons, and the scanner compiled from them."""
