"""How causes are proven, one kind of proof a file. Pure, but for what `Recompute` reads."""
