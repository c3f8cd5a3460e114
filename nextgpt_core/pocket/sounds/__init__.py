"""Where the pocket profile's sounds come from: synthesis, a soundfont and recordings, with captions of what was played.

`kinds.tsv` names every kind of sound; `waves` holds what synthesis is made of; `nature`, `people`, `household`,
`machines` and `electronics` synthesise; `instruments` and `recordings` render what others made; `clips` and `captions`
put it together.
"""
