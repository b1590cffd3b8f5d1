"""Windows, the shipped rules, and the incidents they open. Values in, values out; no clock."""
