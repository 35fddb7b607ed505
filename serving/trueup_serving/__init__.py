"""The model server: features from the online store, a prediction by the assigned variant, a log of every row."""
