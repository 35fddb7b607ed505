"""Training snapshots: content-addressed, described by a manifest, the same bytes whenever they are built again.

`spec` says what to read and `training_set` reads it; `manifest` describes it; `storage` (the only I/O on snapshots)
keeps it; `snapshot` puts them together. `restored` brings one back that DVC tracks (`tracked`).
"""
