"""The stages of the road, each a function that reads files, computes, and fills its own folder."""
