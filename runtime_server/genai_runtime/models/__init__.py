"""Model folders: finding, inspecting and naming what is wrong with them, before an engine sees them."""
