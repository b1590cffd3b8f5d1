"""Whether, why and how somebody is told. `channels/` is the shell's part; the rest are values."""
