"""One module per rule of the workflow: each reads stores, computes, and writes stores, tables or figures."""
