"""The read-out of an experiment: effects and model scores by variant, or the reasons why they are withheld."""
