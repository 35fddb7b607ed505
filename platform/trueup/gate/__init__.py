"""What a model must show before an alias points at it: evidence, a signed verdict, one move of the alias."""
