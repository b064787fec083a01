"""One module per stage: read a store, map a function over blocks, write a store."""
