"""Two samples of a feature, held against each other: counted once, binned alike, tested, and said in plain words.

`columns` takes a frame apart, `histogram` counts values so that counts add up, `profiles` describes one side, `bins`
gives both sides the same bins, `distances` measures, `calibration` says what chance does, `verdict` decides and
`reasons` says why. Pure: nothing here reads or writes anything.
"""
